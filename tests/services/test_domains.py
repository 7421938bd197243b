"""What a service knows is written in the standard library alone: no I/O, no protobuf, no framework."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [path.relative_to(ROOT) for path in sorted(ROOT.glob("services/*/domain/**/*.py"))]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_there_are_domains() -> None:
    assert {"sales", "search", "analytics", "auth"} <= {path.parts[1] for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_domain_imports_itself_and_the_standard_library(path: Path) -> None:
    own = ".".join(path.parts[:3])
    foreign = {
        name
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith(own)
    }
    assert foreign == set()
