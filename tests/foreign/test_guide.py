"""docs/other-teams.md: its programs are run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.foreign.conftest import MODULE, Mesh

GUIDE = (ROOT / "docs" / "other-teams.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=["with the mesh", "without it"])
def test_its_python_programs_work(mesh: Mesh, tmp_path: Path, code: str) -> None:
    bootstrap = mesh.bootstrap("reports", tmp_path, "--call", "sales")
    given = {"TOKEN": mesh.issuer.token(permissions={"sales.read"})}
    with_mesh = {"MESH_SERVICE": "reports", **mesh.stack.environment}
    given |= with_mesh if "import mesh" in code else {"GRPC_XDS_BOOTSTRAP": str(bootstrap)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "0 sales\n"), done.stderr


def test_its_lines_of_go_stand_in_the_program_that_is_built() -> None:
    (code,) = blocks("go")
    program = {line.strip() for line in (MODULE / "main.go").read_text().splitlines()}
    shown = {line.strip() for line in code.splitlines()}
    assert shown - {""} <= program | {")"}


def test_its_commands_exist(mesh: Mesh) -> None:
    for command in re.findall(r"meshctl ([a-z]+)", GUIDE):
        mesh.meshctl(command, "--help")
