"""What is settings and what is not, over the whole space of documents."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mesh.live.edit import assigned, drop, put
from mesh.live.reference import flat, keys, markdown
from mesh.live.settings import Live, LiveSettings, LiveSettingsError

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
codes = st.sampled_from(["UNAVAILABLE", "DATA_LOSS", "CANCELLED", "UNAUTHENTICATED"])
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def some(**fields: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def faults(draw: st.DrawFn) -> dict[str, Any]:
    fault = draw(
        some(
            percentage=st.floats(0, 100, exclude_min=True),
            methods=st.lists(st.from_regex(r"[A-Z][A-Za-z0-9]{0,20}", fullmatch=True), max_size=3),
            callers=st.lists(names, max_size=3),
            headers=st.dictionaries(st.sampled_from(["tester", "x-run", "a.b_c"]), st.text(), max_size=2),
            delay_seconds=st.floats(0.001, 600),
        )
    )
    if draw(st.booleans()) or "delay_seconds" not in fault:
        fault["abort"] = draw(codes)
    return fault


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Whatever an operator may set."""
    first, last = sorted((draw(st.floats(0.001, 60)), draw(st.floats(0.001, 60))))
    retry = some(
        max_attempts=st.integers(1, 10),
        budget_ratio=st.floats(0, 1),
        budget_floor_per_second=st.floats(0, 1000) | st.integers(0, 1000),
    )
    backoff = st.just({"first_backoff_seconds": first, "last_backoff_seconds": last})
    limits = some(
        max_concurrent_calls=st.integers(1, 100_000),
        max_queued_calls=st.integers(0, 100_000),
        queue_seconds=st.floats(0, 60, exclude_min=True),
    )
    return draw(
        some(
            log_level=st.sampled_from([None, "DEBUG", "INFO", "WARNING", "ERROR"]),
            trace_ratio=st.floats(0, 1),
            limits=limits,
            retry=st.tuples(retry, backoff).map(lambda parts: parts[0] | parts[1]),
            breaker=some(failures=st.integers(1, 10_000), open_seconds=st.floats(0, 600, exclude_min=True)),
            faults=st.dictionaries(names, faults(), max_size=3),
        )
    )


@patient
@given(documents())
def test_what_an_operator_may_set_is_taken_as_it_is_and_comes_back(document: dict[str, Any]) -> None:
    settings = LiveSettings.from_json(json.dumps(document))
    assert settings.model_dump(mode="json", exclude_unset=True) == document
    assert LiveSettings.from_json(settings.model_dump_json()) == settings


def problems(document: str | bytes) -> list[tuple[str, str]]:
    """What is wrong with it; empty if it is settings."""
    try:
        LiveSettings.from_json(document)
    except LiveSettingsError as refusal:
        return refusal.problems or [("", "refused without a reason")]
    return []


@patient
@given(JSON | st.dictionaries(st.sampled_from(list(LiveSettings.model_fields)), JSON))
def test_any_other_document_is_settings_or_refused_by_name(document: Any) -> None:
    for key, problem in problems(json.dumps(document)):
        assert key == "the document" or any(f"{key}.".startswith(f"{name}.") for name in document)
        assert problem


@patient
@given(st.binary())
def test_bytes_are_settings_or_refused(document: bytes) -> None:
    assert {key for key, _ in problems(document)} <= {"the document"}


FAULT = '{"faults": {"a": {"abort": "ABORTED", %s}}}'


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            '{"limits": {"max_queued_calls": -1}}',
            ["limits.max_queued_calls: should be greater than or equal to 0, not -1"],
        ),
        ('{"limits": {"max_queued_calls": "5"}}', ['limits.max_queued_calls: should be a valid integer, not "5"']),
        ('{"limits": {"max_queued_calls": true}}', ["limits.max_queued_calls: should be a valid integer, not true"]),
        ('{"limits": null}', ["limits: should be an object, not null"]),
        ('{"log_level": "info"}', ["log_level: should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', not \"info\""]),
        ('{"limit": {}, "retry": {"n": 1}}', ["retry.n: there is no such key", "limit: there is no such key"]),
        (
            '{"retry": {"first_backoff_seconds": 2}}',
            ["retry: first_backoff_seconds (2) is more than last_backoff_seconds (1)"],
        ),
        ('{"faults": {"a": {}}}', ["faults.a: it does nothing: give it delay_seconds, abort or both"]),
        (FAULT % '"headers": {"k-bin": ""}', ["faults.a.headers.k-bin: a binary header cannot be matched"]),
        (FAULT % '"percentage": 0', ["faults.a.percentage: should be greater than 0, not 0"]),
        ('{"trace_ratio": NaN}', ["trace_ratio: should be a finite number, not NaN"]),
        ("[]", ["the document: should be an object"]),
        ("{", ["the document: not JSON: EOF while parsing an object at line 1 column 1"]),
    ],
)
def test_a_refusal_names_every_wrong_key(document: str, told: list[str]) -> None:
    assert [f"{key}: {problem}" for key, problem in problems(document)] == told


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ('{"faults": {"a": {"abort": "OK"}}}', "faults.a.abort"),
        ('{"faults": {"A b": {"abort": "ABORTED"}}}', "faults.A b"),
        (FAULT % '"headers": {"K": "v"}', "faults.a.headers.K"),
        (FAULT % '"headers": {"k": 1}', "faults.a.headers.k"),
        (FAULT % '"methods": ["Get Sale"]', "faults.a.methods.0"),
        (FAULT % '"methods": "GetSale"', "faults.a.methods"),
        (FAULT % '"callers": ["Edge"]', "faults.a.callers.0"),
        (FAULT % '"delay_seconds": -1', "faults.a.delay_seconds"),
        ('{"trace_ratio": Infinity}', "trace_ratio"),
        ('{"trace_ratio": 1e999}', "trace_ratio"),
    ],
)
def test_what_no_call_could_match_or_no_caller_bear_is_refused(document: str, key: str) -> None:
    assert [named for named, _ in problems(document)] == [key]


def test_whoever_has_to_be_told_is_told() -> None:
    live = Live()
    told: list[LiveSettings] = []
    live.on_change.append(told.append)
    live.replace(LiveSettings(log_level="DEBUG"))
    assert told == [live.current]
    assert live.current.log_level == "DEBUG"


key_names = st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=3).map(".".join)
json_values = JSON.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value))


@patient
@given(st.dictionaries(key_names, json_values, max_size=4))
def test_assignments_are_read_as_they_were_written(values: dict[str, Any]) -> None:
    assert assigned(f"{name}={json.dumps(value)}" for name, value in values.items()) == values


@patient
@given(key_names, st.text())
def test_a_value_is_json_or_a_text(name: str, text: str) -> None:
    [value] = assigned([f"{name}={text}"]).values()
    if value != text:
        assert json.loads(text) == value


@pytest.mark.parametrize("item", ["", "=", "log_level", "=1", ".a=1", "a.=1", "a..b=1"])
def test_what_assigns_nothing_is_refused(item: str) -> None:
    with pytest.raises(LiveSettingsError) as refusal:
        assigned(["trace_ratio=1", item])
    assert [key for key, _ in refusal.value.problems] == [item]


def test_a_key_is_not_given_twice() -> None:
    with pytest.raises(LiveSettingsError, match="trace_ratio: is given twice"):
        assigned(["trace_ratio=1", "trace_ratio=0"])


@patient
@given(documents(), st.data())
def test_what_is_unset_is_gone_and_set_again_it_is_back(document: dict[str, Any], data: st.DataObject) -> None:
    before = LiveSettings.from_json(json.dumps(document))
    names = [name for name, _, is_set in flat(before) if is_set]
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    values = {name: _at(document, name) for name in chosen}
    drop(document, chosen)
    for name in chosen:
        with pytest.raises(LiveSettingsError, match=f"{name}: is not set"):
            drop(document, [name])
    put(document, values)
    assert LiveSettings.from_json(json.dumps(document)) == before


def _at(document: dict[str, Any], name: str) -> Any:
    for step in name.split("."):
        document = document[step]
    return document


def test_nothing_is_put_below_a_value() -> None:
    with pytest.raises(LiveSettingsError, match=r"log_level.x: log_level has no keys"):
        put({"log_level": "DEBUG"}, {"log_level.x": 1})


def test_the_guide_has_every_key_as_the_model_has_it() -> None:
    guide = Path("docs/live.md").read_text()
    assert markdown() in guide, "docs/live.md: put the output of `python -m mesh.live.reference` in place of its table"
    assert {key.name.split(".")[0] for key in keys()} == LiveSettings.model_fields.keys()
