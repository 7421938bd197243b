"""The foreign suites, fetched and built once into the user's cache. Nothing of them is part of this project."""

import hashlib
import importlib.resources
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from mesh.v1 import options_pb2

from mesh.local import Silent
from mesh.local.tools.cache import cache_folder, provided
from mesh.local.tools.go import PINNED, toolchain

MODULE = Path(__file__).with_name("suites")
ROOT = MODULE.parents[2]
CONTRACTS = ROOT / "gen" / "contracts.binpb"
VARIABLE = "CONFORMANCE_CONTRACTS"
"""Names the `contracts.binpb` of the suites, for a server of them."""
NAMES = {"connectrpc/conformance/v1/service.proto": "conformance", "interop/test.proto": "interop"}
"""The mesh names that we give to the services of these files."""
_CONNECT = "connectrpc.com/conformance"
_PROGRAMS = {
    "connectconformance": f"{_CONNECT}/cmd/connectconformance",
    "interop": "google.golang.org/grpc/interop/client",
}


def suites() -> Path:
    """A folder with the programs `connectconformance` and `interop`, generated code in `python/` and `contracts.binpb`.

    Raises LocalError without a Go, CalledProcessError if something cannot be fetched or built.
    """
    sources = [*sorted(MODULE.iterdir()), Path(__file__), CONTRACTS]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return provided(cache_folder() / f"conformance-{key}", _build, Silent())


def _build(folder: Path) -> None:
    with toolchain(folder, cache_folder(), Silent()) as go:
        for name, package in _PROGRAMS.items():
            _go(go, "build", "-o", str(folder / name), package)
        interop = FileDescriptorSet.FromString(_go(go, "run", "."))
        protos = Path(_go(go, "list", "-m", "-f", "{{.Dir}}", _CONNECT).decode().strip()) / "proto"
    described = folder / "contracts.binpb"
    files = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    _protoc("-I", str(protos), f"-I{importlib.resources.files('grpc_tools') / '_proto'}", "--include_imports",
            "--descriptor_set_out", str(described), *files)  # fmt: skip
    ours = FileDescriptorSet.FromString(CONTRACTS.read_bytes())
    theirs = [*FileDescriptorSet.FromString(described.read_bytes()).file, *interop.file]
    known = {file.name for file in ours.file}
    added = [file for file in theirs if file.name not in known]
    described.write_bytes(FileDescriptorSet(file=[*ours.file, *map(_with_policy, added)]).SerializeToString())
    code = folder / "python"
    code.mkdir()
    generated = [file.name for file in added if not file.name.startswith("google/")]
    _protoc(
        "--descriptor_set_in", str(described), "--python_out", str(code), "--grpc_python_out", str(code), *generated
    )


def _with_policy(file: FileDescriptorProto) -> FileDescriptorProto:
    """The mesh serves and routes what has a policy: everybody may call these methods."""
    if file.name in NAMES:
        file.dependency.append("mesh/v1/options.proto")
    for service in file.service if file.name in NAMES else ():
        service.options.Extensions[options_pb2.service_name] = NAMES[file.name]
        for method in service.method:
            policy = method.options.Extensions[options_pb2.policy]
            policy.public = True
            policy.default_deadline.seconds = 60
    return file


def _go(go: str, *arguments: str) -> bytes:
    environment = {**os.environ, **PINNED}
    return subprocess.run([go, *arguments], cwd=MODULE, env=environment, check=True, stdout=subprocess.PIPE).stdout


def _protoc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)


def generated_code(folder: Path) -> str:
    """What PYTHONPATH must be for the generated code to be found."""
    paths: Iterable[Path] = (ROOT, ROOT / "gen" / "python", folder / "python")
    return os.pathsep.join(map(str, paths))
