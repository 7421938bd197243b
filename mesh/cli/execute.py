"""`meshctl exec`: a program that knows where the running stack is."""

import os
import sys
from typing import Annotated

import typer

from mesh.local import LocalError, Stack


def execute(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help='"python" is the one that runs meshctl.')],
) -> None:
    """Run COMMAND in the project's folder with the addresses of the running stack in its environment.

    So a client that uses mesh.connect needs no setting: meshctl exec python -m hello.visit
    """
    stack = Stack.load(context.obj)
    environment = os.environ | stack.environment
    program = sys.executable if command[0] == "python" else command[0]
    os.chdir(stack.root)
    try:
        os.execvpe(program, [program, *command[1:]], environment)  # noqa: S606 - no shell is the point
    except OSError as error:
        raise LocalError(f"{command[0]} cannot be run: {error.strerror}") from error
