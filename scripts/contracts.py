"""Makes gen/ from proto/ (`generate`), or checks that both are sound and agree (`check`).

`check` lints with buf STANDARD, refuses a change that breaks a caller (buf FILE, against the checked-in
descriptor set), refuses a method without a policy, and regenerates into a temporary folder to compare.
"""

import argparse
import filecmp
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
BIN = Path(sys.executable).parent

# What the contracts import from others. Their descriptors come from the installed packages, so that no third-party
# .proto is kept here; buf/validate ships no google.protobuf module, so ours is generated (docs/adr/0005).
IMPORTS = [
    "google.api.annotations_pb2",
    "google.api.http_pb2",
    "google.api.httpbody_pb2",
    "google.protobuf.any_pb2",
    "google.protobuf.descriptor_pb2",
    "google.protobuf.duration_pb2",
    "google.protobuf.field_mask_pb2",
    "google.protobuf.timestamp_pb2",
    "google.rpc.code_pb2",
    "google.rpc.error_details_pb2",
    "google.rpc.status_pb2",
    "google.type.date_pb2",
    "google.type.money_pb2",
]
# Not imported by any contract; the edge needs it to show the details of an error in JSON.
ALSO_DESCRIBED = ["google/rpc/error_details.proto", "google/rpc/status.proto"]
VALIDATE = "buf/validate/validate.proto"


def imported() -> FileDescriptorSet:
    """The descriptors of everything in IMPORTS, and of buf/validate."""
    described = FileDescriptorSet()
    for module in IMPORTS:
        file = described.file.add()
        importlib.import_module(module).DESCRIPTOR.CopyToProto(file)
        if not file.name.startswith("google/protobuf/"):
            # googleapis-common-protos and xds-protos both bring these, and whose is installed last is chance. This is
            # all in which they differ.
            file.options.ClearField("cc_enable_arenas")
    described.file.append(FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    return described


def sources() -> list[str]:
    return sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))


def run_protoc(imports: Path, arguments: list[str], names: list[str]) -> None:
    well_known = files("grpc_tools") / "_proto"
    command = ["protoc", f"--descriptor_set_in={imports}", f"-I{PROTO}", f"-I{well_known}", *arguments, *names]
    if protoc.main(command) != 0:
        raise SystemExit("protoc refused the contracts: see above")


def describe(imports: Path, target: Path) -> None:
    """Writes all contracts with all they import as one FileDescriptorSet, comments included."""
    run_protoc(
        imports,
        ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"],
        [*sources(), *ALSO_DESCRIBED],
    )


def generate(gen: Path) -> None:
    """Writes gen/python and gen/contracts.binpb; what was there is replaced."""
    python = gen / "python"
    shutil.rmtree(python, ignore_errors=True)
    python.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        imports = Path(temporary) / "imports.binpb"
        imports.write_bytes(imported().SerializeToString())
        services = [name for name in sources() if name.endswith("_service.proto")]
        plugins = [f"--plugin={BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
        run_protoc(imports, [*plugins, f"--python_out={python}", f"--mypy_out=quiet:{python}"], [*sources(), VALIDATE])
        run_protoc(
            imports,
            [*plugins, f"--grpc_python_out={python}", f"--mypy_grpc_out=quiet,only_async:{python}"],
            services,
        )
        describe(imports, gen / "contracts.binpb")
    for folder in {path.parent for path in python.rglob("*_pb2.py")}:
        (folder / "py.typed").touch()


def ours(described: FileDescriptorSet) -> Iterator[FileDescriptorProto]:
    return (file for file in described.file if file.name in set(sources()))


def without_policy(described: FileDescriptorSet) -> list[str]:
    """The methods that say nothing of who may call them or how long they may take."""
    sys.path.insert(0, str(GEN / "python"))
    options = importlib.import_module("mesh.v1.options_pb2")
    missing = []
    # Parsed anew, now that the extensions are known.
    for file in ours(FileDescriptorSet.FromString(described.SerializeToString())):
        for service in file.service:
            if not service.options.Extensions[options.service_name]:
                missing.append(f"{file.package}.{service.name}: no (mesh.v1.service_name)")
            for method in service.method:
                policy = method.options.Extensions[options.policy]
                if policy.WhichOneof("access") is None or not policy.HasField("default_deadline"):
                    missing.append(f"{file.package}.{service.name}.{method.name}: no access or no default_deadline")
        for enum in file.enum_type:
            if enum.name == "ErrorReason":
                missing += [
                    f"{file.package}.{value.name}: no (mesh.v1.error)"
                    for value in enum.value
                    if value.number and not value.options.Extensions[options.error].message
                ]
    return missing


def differences(left: Path, right: Path) -> list[str]:
    def names(root: Path) -> set[Path]:
        return {p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.suffix in {".py", ".pyi", ".binpb"}}

    changed = names(left) ^ names(right)
    changed |= {n for n in names(left) & names(right) if not filecmp.cmp(left / n, right / n, shallow=False)}
    return sorted(map(str, changed))


def refuse_unsound(image: Path) -> None:
    """Lints `image` and compares it with the checked-in descriptor set; raises what buf found."""
    lint = {"version": "v2", "lint": {"use": ["STANDARD"], "ignore": ["google", "buf"]}}
    subprocess.run([BIN / "buf", "lint", image, "--config", json.dumps(lint)], check=True)
    if (checked_in := GEN / "contracts.binpb").exists():
        breaking = {"version": "v2", "breaking": {"use": ["FILE"], "ignore": ["google", "buf"]}}
        subprocess.run(
            [BIN / "buf", "breaking", image, "--against", checked_in, "--config", json.dumps(breaking)], check=True
        )
    if problems := without_policy(FileDescriptorSet.FromString(image.read_bytes())):
        raise SystemExit("\n".join(problems))


def check() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary) / "gen"
        fresh.mkdir()
        generate(fresh)
        refuse_unsound(fresh / "contracts.binpb")
        if changed := differences(fresh / "python", GEN / "python") + differences(fresh, GEN):
            raise SystemExit("gen/ is not what proto/ makes: run `make gen`\n  " + "\n  ".join(sorted(set(changed))))
    print("contracts: linted, nothing broken, every method has a policy, gen/ is up to date")


def regenerate(*, breaks: bool) -> None:
    """Replaces gen/. A breaking change is refused here already: once written, there is nothing to compare with."""
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        generate(fresh)
        if not breaks:
            refuse_unsound(fresh / "contracts.binpb")
        shutil.rmtree(GEN / "python", ignore_errors=True)
        shutil.copytree(fresh / "python", GEN / "python")
        shutil.copy(fresh / "contracts.binpb", GEN / "contracts.binpb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["generate", "check"])
    parser.add_argument("--break", action="store_true", dest="breaks", help="generate although callers break")
    arguments = parser.parse_args()
    try:
        if arguments.action == "check":
            check()
        else:
            regenerate(breaks=arguments.breaks)
    except subprocess.CalledProcessError as failure:
        raise SystemExit(f"{Path(failure.cmd[0]).name} {failure.cmd[1]} refused the contracts: see above") from None


if __name__ == "__main__":
    main()
