"""The operator's guide names only what there is."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from mesh.cli.app import app
from mesh.cli.verbs import PANELS, added
from mesh.settings import MeshSettings
from tests.cli.conftest import ROOT

GUIDE = (ROOT / "docs" / "operations.md").read_text()
_ENDS = re.compile(r"[;|]")


def commands() -> Iterator[list[str]]:
    """The words after `meshctl` wherever the guide says it: as a span of code, or behind a prompt."""
    blocks = GUIDE.split("```")
    prompts = [line[2:] for block in blocks[1::2] for line in block.splitlines() if line.startswith("$ ")]
    spans = re.findall(r"`([^`]+)`", "".join(blocks[::2]))
    for text in (*prompts, *spans):
        if text.startswith("meshctl "):
            yield shlex.split(_ENDS.split(text)[0])[1:]


def command(words: list[str]) -> tuple[Any, list[str]]:
    """The innermost verb that the words name, and what comes behind it."""
    found: Any = typer.main.get_command(app)
    while is_group(found) and words and (inner := found.get_command(None, words[0])):
        found, words = inner, words[1:]
    return found, words


def is_group(found: Any) -> bool:
    return hasattr(found, "get_command")


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in commands()])
def test_each_command_of_the_guide_exists(words: list[str]) -> None:
    found, rest = command(words)
    assert found.name in {"intentions", "faults"} or not is_group(found), "no such verb"
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known
    if is_group(found):
        assert rest == []


def test_each_verb_has_its_place_in_the_guide_and_in_the_help() -> None:
    verbs = {verb for verbs in PANELS.values() for verb in verbs}
    own = {name for name, point in added().items() if point.value.startswith("mesh.cli.")}
    assert verbs == own | {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    used = {words[0] for words in commands()}
    assert verbs - used <= {"down"}


class Recorder(dict[str, str]):
    """An empty environment that remembers what was looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        return super().get(key, default)


def test_the_table_of_variables_is_what_the_settings_read() -> None:
    environment = Recorder()
    MeshSettings.from_environment(environment)
    table = GUIDE.partition("| variable |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)) == sorted(set(environment.asked))
