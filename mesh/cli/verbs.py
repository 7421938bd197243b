"""Verbs that a product adds: entry points in the group `meshctl.commands`, each a function or a `typer.Typer`."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

GROUP = "meshctl.commands"


class Verbs(TyperGroup):
    """A command group that imports an added verb only when it is called or listed in the help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own verbs, then the added ones."""
        own = super().list_commands(ctx)
        return own + sorted(added().keys() - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb, or None."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in added():
            return own
        verb = added()[cmd_name].load()
        if not isinstance(verb, typer.Typer):
            single = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
            single.command(cmd_name)(verb)
            verb = single
        command = typer.main.get_command(verb)
        command.name = cmd_name
        return command


def added() -> dict[str, EntryPoint]:
    """The entry points by verb."""
    return {point.name: point for point in entry_points(group=GROUP)}
