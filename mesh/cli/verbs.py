"""Verbs that are imported when they are called, each a function or a `typer.Typer`.

Those of a product are entry points in the group `meshctl.commands`.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

GROUP = "meshctl.commands"
_OWN = {
    "policy": "mesh.cli.policy:policy",
    "intentions": "mesh.cli.intentions:intentions",
    "certs": "mesh.cli.certs:certs",
    "bootstrap": "mesh.cli.bootstrap:bootstrap",
    "endpoints": "mesh.cli.inspect:endpoints",
    "routes": "mesh.cli.inspect:routes",
    "config-dump": "mesh.cli.inspect:config_dump",
    "live": "mesh.cli.live:live",
    "faults": "mesh.cli.faults:faults",
    "split": "mesh.cli.split:split",
    "top": "mesh.cli.top:top",
    "traces": "mesh.cli.traces:traces",
}
"""Those of meshctl itself that need more than a moment to import."""


class Verbs(TyperGroup):
    """A command group that imports such a verb only when it is called or listed in the help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own verbs, then those of the product."""
        own = [*super().list_commands(ctx), *_OWN]
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
    """The entry points by verb; no product replaces a verb of meshctl."""
    own = [EntryPoint(name, value, GROUP) for name, value in _OWN.items()]
    return {point.name: point for point in (*entry_points(group=GROUP), *own)}
