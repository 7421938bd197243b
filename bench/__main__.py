"""`python -m bench [NAME ...]`: runs all measurements, or those named; shows a table and writes bench/results.json."""

import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from bench import client, edge, pipeline, scale, server, start
from bench.results import Result, keep

MEASUREMENTS: dict[str, Callable[[], Sequence[Result]]] = {
    "start": start.measure,
    "edge": edge.measure,
    "pipeline": pipeline.measure,
    "server": server.measure,
    "client": client.measure,
    "scale": scale.measure,
}


def main(names: Sequence[str]) -> None:
    if unknown := set(names) - MEASUREMENTS.keys():
        sys.exit(f"no measurement {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    results: list[Result] = []
    for name in names or MEASUREMENTS:
        print(f"measuring: {name}", file=sys.stderr)
        found = MEASUREMENTS[name]()
        keep(found)
        results += found
    show(results)


def show(results: Sequence[Result]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "ours", "peer", "unit", "ratio", "spread", "aim"):
        table.add_column(column, justify="left" if column in {"", "unit"} else "right")
    for each in results:
        aim = "" if each.aim is None else f"{'<=' if each.better == 'lower' else '>='} {each.aim:g}"
        style = "green" if each.met else "bold red"
        spread = f"{each.spread[0]:.2f} to {each.spread[1]:.2f}"
        ratio = f"[{style}]{each.ratio:.2f}[/]"
        table.add_row(each.name, f"{each.ours:,.4g}", f"{each.peer:,.4g}", each.unit, ratio, spread, aim)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
