"""What the environment may say to sales, search and analytics."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import settings
from mesh.settings import SettingsError
from services.analytics.settings import Settings as AnalyticsSettings
from services.lakehouse import Lakehouse
from services.sales.settings import Settings as SalesSettings
from services.search.settings import Settings as SearchSettings

SOUND = {"DATABASE_URL": "postgresql://sales:secret@127.0.0.1:5432/retail", "LAKEHOUSE_URI": "file:///srv/lake"}
SALES, SEARCH = SalesSettings.from_environment, SearchSettings.from_environment
ANALYTICS = AnalyticsSettings.from_environment


def test_what_holds_when_nothing_is_said() -> None:
    assert SEARCH(SOUND) == SearchSettings("file:///srv/lake")
    assert ANALYTICS(SOUND) == AnalyticsSettings("file:///srv/lake")
    assert SALES(SOUND).database.pool_size == 10


def test_everything_can_be_said() -> None:
    search = {"SEARCH_CURRENCY_CODE": "EUR", "SEARCH_POLL_SECONDS": "0.5", "SEARCH_KEPT_INDEXES": "7"}
    assert SEARCH(SOUND | search) == SearchSettings("file:///srv/lake", "EUR", 0.5, 7)
    analytics = {
        "LAKEHOUSE_URI": "s3://bucket/lake",
        "ANALYTICS_QUERY_THREADS": "2",
        "ANALYTICS_KEPT_EDITIONS": "5",
        "ANALYTICS_EDITION_MEMORY_MIB": "256",
        "ANALYTICS_CACHED_ROWS": "10",
    }
    assert ANALYTICS(analytics) == AnalyticsSettings("s3://bucket/lake", 2, 5, 256, 10)
    assert SALES(SOUND | {"DATABASE_POOL_SIZE": "3"}).database.pool_size == 3


@pytest.mark.parametrize(
    ("read", "name", "values"),
    [
        (ANALYTICS, "LAKEHOUSE_URI", ["", "lake", "file://lake", "s3://", "s3:///prefix"]),
        (ANALYTICS, "ANALYTICS_QUERY_THREADS", ["", "0", "-1", "1.5", "two", "257"]),
        (ANALYTICS, "ANALYTICS_KEPT_EDITIONS", ["0"]),
        (ANALYTICS, "ANALYTICS_EDITION_MEMORY_MIB", ["1GiB"]),
        (ANALYTICS, "ANALYTICS_CACHED_ROWS", ["1e6"]),
        (SEARCH, "LAKEHOUSE_URI", [""]),
        (SEARCH, "SEARCH_CURRENCY_CODE", ["", "pound", "gbp", "GBP\n"]),
        (SEARCH, "SEARCH_POLL_SECONDS", ["0", "-1", "nan", "inf", "1e3", "3601"]),
        (SEARCH, "SEARCH_KEPT_INDEXES", ["0.4", "0"]),
        (SALES, "DATABASE_URL", ["", "sales", "mysql://host/db", "postgresql://host:port/db", "postgresql://host"]),
        (SALES, "DATABASE_POOL_SIZE", ["", "0", "1001", "٣"]),
    ],
)
def test_what_is_malformed_is_refused_by_its_name(
    read: Callable[[Mapping[str, str]], Any], name: str, values: list[str]
) -> None:
    for value in values:
        with pytest.raises(SettingsError, match=name) as refused:
            read(SOUND | {name: value})
        assert "\n" not in str(refused.value)


def test_what_must_be_said_is_asked_for() -> None:
    for read, name in ((SALES, "DATABASE_URL"), (SEARCH, "LAKEHOUSE_URI")):
        with pytest.raises(SettingsError, match=f"{name} is not set"):
            read({})


def test_the_database_password_is_not_shown() -> None:
    assert "secret" not in repr(SALES(SOUND))
    with pytest.raises(SettingsError) as refused:
        SALES({"DATABASE_URL": "postgresql://sales:secret@host:nonsense/db"})
    assert "secret" not in str(refused.value)


def outcome(read: Callable[[], float]) -> float | str:
    """What was read, or the refusal."""
    try:
        return read()
    except SettingsError as refused:
        return str(refused)


@given(st.text() | st.from_regex(r"-?[0-9]{0,20}(\.[0-9]{0,20})?", fullmatch=True))
def test_any_text_is_a_number_in_its_range_or_is_refused(value: str) -> None:
    read = outcome(lambda: settings.whole_number({"X": value}, "X", 5, least=2, most=10))
    assert read == f"X={value!r} is not a whole number from 2 to 10" or (isinstance(read, int) and 2 <= read <= 10)
    read = outcome(lambda: settings.number({"X": value}, "X", 5, least=0.5, most=10))
    assert read == f"X={value!r} is not a number from 0.5 to 10" or 0.5 <= float(read) == float(value) <= 10


@pytest.mark.parametrize(
    ("uri", "path"),
    [("file:///srv/my%20lake", "/srv/my lake"), ("/srv/my lake", "/srv/my lake"), ("s3://bucket/lake", None)],
)
def test_a_lake_knows_its_folder(uri: str, path: str | None) -> None:
    found = Lakehouse(uri).local_path
    assert (None if found is None else str(found)) == path
    assert Lakehouse(uri + "/").table_uri("gold/fact_sale") == f"{uri}/gold/fact_sale"
