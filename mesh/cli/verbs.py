"""Verbs that are imported when they are called, each a function or a `typer.Typer`.

Those of a product are entry points in the group `meshctl.commands`.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

GROUP = "meshctl.commands"
PANELS = {
    "The stack": ("up", "down", "status", "logs", "exec"),
    "What happens": ("top", "traces"),
    "What the control plane believes": ("endpoints", "routes", "subscribers", "config-dump"),
    "Who may call what": ("policy", "intentions", "certs", "bootstrap"),
    "Change while it runs": ("live", "faults", "split"),
}
"""In which the help shows the verbs of meshctl itself, in their order."""
_OTHERS = "Of this project"
_OWN = {
    "policy": "mesh.cli.policy:policy",
    "intentions": "mesh.cli.intentions:intentions",
    "certs": "mesh.cli.certs:certs",
    "bootstrap": "mesh.cli.bootstrap:bootstrap",
    "endpoints": "mesh.cli.inspect:endpoints",
    "routes": "mesh.cli.inspect:routes",
    "subscribers": "mesh.cli.inspect:subscribers",
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
        own = [verb for verbs in PANELS.values() for verb in verbs]
        return own + sorted(added().keys() - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb, or None."""
        command = super().get_command(ctx, cmd_name) or _loaded(cmd_name)
        if command is not None:
            own = (panel for panel, verbs in PANELS.items() if cmd_name in verbs)
            setattr(command, "rich_help_panel", next(own, _OTHERS))  # noqa: B010 - only typer's commands declare it
        return command


def _loaded(name: str) -> Any:
    """The command, or None."""
    if name not in added():
        return None
    verb = added()[name].load()
    if not isinstance(verb, typer.Typer):
        single = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        single.command(name)(verb)
        verb = single
    command = typer.main.get_command(verb)
    command.name = name
    return command


def added() -> dict[str, EntryPoint]:
    """The entry points by verb; no product replaces a verb of meshctl."""
    own = [EntryPoint(name, value, GROUP) for name, value in _OWN.items()]
    return {point.name: point for point in (*entry_points(group=GROUP), *own)}
