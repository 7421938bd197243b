"""A project of its own with the contracts of this one, its Consul, and meshctl in it as a person uses it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mesh.cli.app import app
from mesh.local import LocalError, Stack, running

ROOT = Path(__file__).resolve().parents[2]

MESH_TOML = f"""
components = ["consul"]

[control]
command = ["python", "-m", "mesh.control", "--contracts", "{ROOT / "gen" / "contracts.binpb"}"]

[intentions.sales]
edge = ["*"]
demo = ["retail.sales.v1.SalesService/GetSale", "retail.sales.v1.SalesService/ListSales"]

[intentions.auth]
edge = ["*"]
"""


@dataclass(frozen=True)
class Project:
    root: Path
    stack: Stack

    def meshctl(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        return meshctl(self.root, *arguments, run_dir=self.stack.run.path)

    def told(self, *arguments: str) -> Any:
        """What a verb prints with --json."""
        status, printed, said = self.meshctl(*arguments, "--json")
        assert status == 0, said
        return json.loads(printed)


def meshctl(project: Path, *arguments: str, run_dir: Path) -> tuple[int, str, str]:
    """In this process, since starting another takes longer than what it does; tests/local start it as a program."""
    environment = {"MESH_RUN_DIR": str(run_dir), "CONSUL_HTTP_ADDR": None}
    done = CliRunner().invoke(app, ["--project", str(project), *arguments], env=environment)
    if isinstance(done.exception, LocalError):  # see mesh/cli/__init__.py
        return 1, done.stdout, f"{done.stderr}meshctl: {done.exception}\n"
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("project")
    (root / "mesh.toml").write_text(MESH_TOML)
    with running(["consul"], root=root, control=False) as stack:
        yield Project(root, stack)
