"""The contracts of the project, for verbs that speak of methods."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from mesh import contract
from mesh.local import LocalError
from mesh.local.declaration import Declaration

_OPTION = "--contracts"

Contracts = Annotated[
    Path | None,
    typer.Option(_OPTION, help="Descriptor set; by default the one that the control plane of mesh.toml is given."),
]


def methods(project: Path, given: Path | None) -> dict[str, list[contract.Method]]:
    """The methods of the contracts by the name of their service. Raises LocalError."""
    path = given or _declared(project)
    try:
        return contract.methods_described(FileDescriptorSet.FromString(path.read_bytes()))
    except (OSError, DecodeError, contract.ContractError) as problem:
        raise LocalError(f"{path}: {problem}") from problem


def _declared(project: Path) -> Path:
    control = Declaration.load(project).control
    command = control.command if control else ()
    for option, value in pairwise(command):
        if option == _OPTION:
            return project / value
    raise LocalError(f"the control plane in {project / 'mesh.toml'} has no {_OPTION}: give it here")
