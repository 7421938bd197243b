"""What ingest takes from its environment."""

import pytest

from mesh.settings import SettingsError
from services.ingest.settings import Settings

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://me@127.0.0.1/mine",
    "LAKEHOUSE_URI": "file:///srv/lake",
    "SPARK_REMOTE": "sc://127.0.0.1:15002",
}


def test_what_need_not_be_said() -> None:
    settings = Settings.from_environment(ENVIRONMENT)
    assert (settings.lakehouse_uri, settings.spark_remote) == ("file:///srv/lake", "sc://127.0.0.1:15002")
    assert (settings.file_bytes, settings.lease_seconds) == (2 * 1024**3, 30.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAKEHOUSE_URI", None),
        ("LAKEHOUSE_URI", "srv/lake"),
        ("LAKEHOUSE_URI", "file:srv"),
        ("SPARK_REMOTE", None),
        ("SPARK_REMOTE", "127.0.0.1:15002"),
        ("INGEST_FILE_BYTES", "0"),
        ("INGEST_FILE_BYTES", "2 GiB"),
        ("INGEST_LEASE_SECONDS", "0.5"),
        ("INGEST_LEASE_SECONDS", "nan"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in (ENVIRONMENT | {name: value}).items() if text is not None}
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(environment)
