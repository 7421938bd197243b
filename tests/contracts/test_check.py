"""`scripts/contracts.py` on a copy of the contracts: what it lets pass, and what it refuses with the place named."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SALES = "proto/retail/sales/v1/sales_service.proto"
REASONS = "proto/retail/sales/v1/error_reason.proto"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A project with nothing but its contracts."""
    for folder in ("proto", "gen"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "contracts.py", tmp_path / "scripts")
    return tmp_path


def run(project: Path, *arguments: str) -> tuple[int, str]:
    """The exit status and all that it printed."""
    command = [sys.executable, "scripts/contracts.py", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


def everything(project: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (project / "gen").rglob("*") if path.is_file()}


def test_the_contracts_as_they_are_pass(copy: Path) -> None:
    assert run(copy, "check") == (
        0,
        "contracts: linted, nothing broken, every method has a policy, gen/ is up to date\n",
    )


NEW_RPC = """
  rpc Undo(UndoRequest) returns (UndoResponse);
}

message UndoRequest {}

message UndoResponse {}

enum"""


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "told"),
    [
        (SALES, r"string sale_id = 1;", "int64 sale_id = 1;", "changed type from"),
        (SALES, r"  int64 version = 7;\n", "", 'field "7" with name "version"'),
        (SALES, r"rpc GetSale\(", "rpc FetchSale(", 'should be named "FetchSaleRequest"'),
        (REASONS, r"  ERROR_REASON_\w+ = 1 ", "  ERROR_REASON_RENAMED = 1 ", "changed name from"),
        (SALES, r"message Sale \{", "message Sale {\n  string camelCase = 99;", "should be lower_snake_case"),
        (SALES, r"\}\n\nenum", NEW_RPC, "SalesService.Undo: no access or no default_deadline"),
        (SALES, r"default_deadline: \{seconds: 5\}", "", "RecordSale: no access or no default_deadline"),
        (SALES, r'permission: "sales.read"', "", "GetSale: no access or no default_deadline"),
        (SALES, r'  option \(mesh.v1.service_name\) = "sales";', "", "SalesService: no (mesh.v1.service_name)"),
        (REASONS, r"\}\s*\Z", "  ERROR_REASON_NEW = 99;\n}\n", "ERROR_REASON_NEW: no (mesh.v1.error)"),
        (SALES, r"message Sale \{", "message Sale {\n  string note = 99;", "gen/ is not what proto/ makes"),
        (SALES, r"// A UUID", "// An UUID", "contracts.binpb"),
        (SALES, r"message Sale \{", "message Sale {\n  Nothing note = 99;", '"Nothing" is not defined'),
    ],
)
def test_a_bad_change_is_refused_with_its_place(
    copy: Path, file: str, pattern: str, replacement: str, told: str
) -> None:
    edit(copy / file, pattern, replacement)
    status, output = run(copy, "check")
    assert status == 1
    assert told in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda gen: (gen / "python/retail/sales/v1/sales_service_pb2.pyi").unlink(), "sales_service_pb2.pyi"),
        (lambda gen: (gen / "python/retail/sales/v1/extra_pb2.py").touch(), "extra_pb2.py"),
        (
            lambda gen: edit(gen / "python/retail/sales/v1/sales_service_pb2_grpc.py", "import", "import "),
            "_pb2_grpc.py",
        ),
    ],
    ids=["missing", "left over", "edited"],
)
def test_generated_files_that_are_not_generated_are_named(
    copy: Path, change: Callable[[Path], None], told: str
) -> None:
    change(copy / "gen")
    status, output = run(copy, "check")
    assert status == 1
    assert "run `make gen`" in output
    assert told in output


def test_a_sound_change_is_generated_and_passes_then(copy: Path) -> None:
    edit(copy / SALES, r"message Sale \{", "message Sale {\n  // More.\n  string note = 99;")
    assert run(copy, "generate")[0] == 0
    assert run(copy, "check")[0] == 0
    assert "note: " in (copy / "gen/python/retail/sales/v1/sales_service_pb2.pyi").read_text()


def test_a_break_is_generated_on_demand_only(copy: Path) -> None:
    edit(copy / SALES, r"  int64 version = 7;\n", "")
    before = everything(copy)
    assert run(copy, "generate")[0] == 1
    assert everything(copy) == before
    assert run(copy, "generate", "--break")[0] == 0
    assert run(copy, "check")[0] == 0
