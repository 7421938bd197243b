"""`meshctl demo` and `meshctl token` as a person runs them, on the whole platform."""

import subprocess
import sys
from pathlib import Path

import pytest

from mesh.local import Stack, project_root

ROOT = project_root(Path(__file__).parent)


def meshctl(run: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(Path(sys.executable).with_name("meshctl")), *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "MESH_RUN_DIR": str(run)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_the_main_job_agrees_with_the_raw_files(platform: Stack) -> None:
    done = meshctl(platform.run.path, "demo", "--rows", "5000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agree with the raw files and over both protocols" in done.stdout
    assert "DIFFERS" not in done.stdout
    for step in ("login", "upload", "Conservation", "Revenue by month", "Top products", "Sale", "Products found"):
        assert step in done.stdout
    assert f"127.0.0.1:{platform.port('edge')}" in done.stdout
    again = meshctl(platform.run.path, "demo", "--rows", "5000")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "100 %  done" in again.stdout


def test_a_token_and_nothing_else(platform: Stack) -> None:
    done = meshctl(platform.run.path, "token")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.strip().split(".")) == 3


def test_no_stack_no_token(tmp_path: Path) -> None:
    done = meshctl(tmp_path / "run", "token")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"meshctl: nothing runs in {tmp_path / 'run'}: start it with meshctl up\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["token", "--user", "nobody"], "UNAUTHENTICATED CREDENTIALS_INVALID: The user name or the password is wrong"),
        (["demo", "--data", "docs"], "docs holds no *.csv and no *.csv.gz"),
        (["demo", "--data", "docs/dialect.md"], "INVALID_ARGUMENT COLUMNS_MISSING"),
    ],
)
def test_what_goes_wrong_is_one_line(platform: Stack, arguments: list[str], told: str) -> None:
    done = meshctl(platform.run.path, *arguments)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
