"""No secret reaches a log, whatever holds it, and a log is as talkative as the settings say."""

import json
import logging
import time
from typing import Any

import jwt
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from mesh.live.settings import LiveSettings
from mesh.telemetry import apply_log_level, configure_logging
from mesh.telemetry.redaction import REDACTED, redact, without_secrets

SECRET_NAMES = ["password", "new_password", "token", "access_token", "Authorization", "client_secret", "api_key"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLAIN = TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=24, max_size=40)


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2))


@given(secret=SECRETS, name=st.sampled_from(SECRET_NAMES), data=st.data())
def test_what_is_called_a_secret_is_not_shown(secret: str, name: str, data: st.DataObject) -> None:
    holder = data.draw(nested(st.just({name: secret})))
    line = redact(None, "info", {"event": "said", "holder": holder, name: secret})
    assert secret not in repr(line)
    assert line["event"] == "said"


@given(before=TEXTS, after=TEXTS, subject=TEXTS, form=st.sampled_from(["{}", "Bearer {}", "authorization: bearer {}"]))
def test_what_looks_like_a_token_is_not_shown(before: str, after: str, subject: str, form: str) -> None:
    token = jwt.encode({"sub": subject}, "k" * 32, algorithm="HS256")
    text = f"{before} {form.format(token)} {after}"
    shown = repr(redact(None, "info", {"event": text, "exception": ValueError(text), "several": [text, {"in": text}]}))
    for part in token.split("."):
        assert part not in shown
    assert REDACTED in shown


@given(nested(PLAIN.filter(lambda value: not isinstance(value, str) or value.isalnum())))
def test_the_rest_is_shown_as_it_is(value: Any) -> None:
    line = redact(None, "info", {"event": "said", "rows": value})
    assert json.loads(json.dumps(line)) == json.loads(json.dumps({"event": "said", "rows": value}))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "postgresql+asyncpg://mesh:hunter2@127.0.0.1:5432/mesh",
            f"postgresql+asyncpg://{REDACTED}@127.0.0.1:5432/mesh",
        ),
        ("redis://:hunter2@127.0.0.1", f"redis://{REDACTED}@127.0.0.1"),
        ("Basic YWRtaW46aHVudGVyMg==", REDACTED),
        ("-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----", REDACTED),
        ("http://127.0.0.1:8500/v1/kv", "http://127.0.0.1:8500/v1/kv"),
        ("the token has expired", "the token has expired"),
    ],
)
def test_secrets_in_texts(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize("piece", ["eyJ", "eyJ.", "bearer ", "://a:b", "-----BEGIN ", "Basic "])
def test_a_long_text_of_a_strangers_making_holds_nobody_up(piece: str) -> None:
    start = time.perf_counter()
    without_secrets(piece * 50_000)
    assert time.perf_counter() - start < 2


def test_a_token_in_a_traceback_is_not_shown() -> None:
    token = jwt.encode({"sub": "ada"}, "k" * 32, algorithm="HS256")
    try:
        raise ValueError(f"what came was {token}")
    except ValueError as problem:
        line = {"event": "defect", "exc_info": problem}
    shown = redact(None, "error", dict(structlog.processors.format_exc_info(None, "error", line)))
    assert "what came was" in shown["exception"]
    assert token not in shown["exception"]


def test_lines_of_libraries_are_cleaned_too(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        configure_logging("tests", "tests-1")
        logging.getLogger("some.library").warning("sent %s", "Bearer abcdefgh12345678")
        [line] = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    finally:
        logging.getLogger().handlers[:], _ = before
        logging.getLogger().setLevel(before[1])
        structlog.contextvars.clear_contextvars()
    assert line["message"] == f"sent {REDACTED}"


def test_the_log_level_is_that_of_the_settings_or_else_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before = root.level
    monkeypatch.setenv("MESH_LOG_LEVEL", "error")
    try:
        apply_log_level(LiveSettings(log_level="DEBUG"))
        assert root.level == logging.DEBUG
        apply_log_level(LiveSettings())
        assert root.level == logging.ERROR
    finally:
        root.setLevel(before)
