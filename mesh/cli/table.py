"""The status table."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mesh.local import Row

_NARROWEST = 120  # where the width is not a person's (a pipe, CI), nothing is cut


def show(rows: Sequence[Row]) -> None:
    """Print one line a part."""
    console = Console()
    if not console.is_terminal:
        widest = sum(
            max(len(text) for text in each) for each in zip(*((row.address, row.note) for row in rows), strict=True)
        )
        console = Console(width=max(_NARROWEST, 80 + widest))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "ADDRESS", "HEALTH", "VERSION", "PID", "SINCE", "RESTARTS", ""):
        table.add_column(title, overflow="fold", justify="right" if title in {"PID", "RESTARTS"} else "left")
    for row in rows:
        table.add_row(
            row.name,
            row.address,
            Text(row.health, style="green" if row.healthy else "bold red"),
            row.version,
            str(row.pid or ""),
            _since(row.since),
            str(row.restarts or ""),
            row.note,
        )
    console.print(table)


def _since(moment: str) -> str:
    """ "05:11:42 (3 min)", in UTC; with the date if it isn't today's."""
    if not moment:
        return ""
    since, now = datetime.fromisoformat(moment), datetime.now(UTC)
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size or size == 1:
            lasted = f"{seconds // size} {unit}"
            break
    clock = since.astimezone(UTC)
    return f"{clock:%H:%M:%S} ({lasted})" if clock.date() == now.date() else f"{clock:%Y-%m-%d %H:%M:%S} ({lasted})"
