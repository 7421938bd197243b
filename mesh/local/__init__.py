"""One machine: starts and watches Consul, PostgreSQL, Valkey, Spark Connect, Envoy, the control plane and services.

`running` is for tests and benches, `Stack` for everything else; `meshctl` is a thin skin over `Stack`. All of it works
from `mesh.toml` (see `declaration`) and one run folder (see `rundir`).
"""

from mesh.local.components import KINDS as _KINDS
from mesh.local.errors import LocalError
from mesh.local.report import Lines, Report, Silent
from mesh.local.running import project_root, running
from mesh.local.stack import Stack
from mesh.local.status import Row

COMPONENTS = tuple(sorted(_KINDS))
"""Names of the components there are."""

__all__ = ["COMPONENTS", "Lines", "LocalError", "Report", "Row", "Silent", "Stack", "project_root", "running"]
