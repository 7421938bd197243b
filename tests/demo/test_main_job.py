"""How the main job shows what it finds."""

import io
from decimal import Decimal

import pytest
from rich.console import Console

from demo.main_job import Teller


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=60)


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_table_has_numbers_to_the_right_and_texts_as_they_are(console: Console) -> None:
    rows = [("LANTERN [red]", 6, Decimal("1234.5")), ("[/] MUG", -1200, Decimal("-0.25"))]
    Teller(console).table("Products", ("description", "units", "revenue"), rows)
    assert shown(console) == [
        "Products",
        "description     units   revenue",
        "LANTERN [red]       6  1,234.50",
        "[/] MUG        -1,200     -0.25",
        "",
    ]


def test_a_table_without_rows(console: Console) -> None:
    Teller(console).table("Products", ("description", "units"), [])
    assert shown(console) == ["Products", "description  units", ""]


async def test_a_step_tells_its_time_and_gives_its_result(console: Console) -> None:
    async def work() -> int:
        return 7

    assert await Teller(console).step("search for '[bold]'", work()) == 7
    assert shown(console)[0].startswith("search for '[bold]'  ")
    assert shown(console)[0].endswith(" ms")
