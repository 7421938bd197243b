"""Makes gen/ from proto/ (`generate`), or checks that both are sound and agree (`check`).

`check` lints with buf STANDARD, refuses a change that breaks a caller (buf FILE, against the checked-in
descriptor set), refuses a method without a policy, and regenerates into a temporary folder to compare.

With `--project FOLDER` it does the same for another product. Its proto/ may import mesh/v1 and buf/validate, and its
Python is written beside its own modules: FOLDER/hello/v1 for the package hello.v1.
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
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
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
# What another product imports from here.
MESH = ["mesh.v1.error_reason_pb2", "mesh.v1.options_pb2"]
IMAGE = Path("gen", "contracts.binpb")


@dataclass(frozen=True)
class Project:
    """A product: the folder `root` with its contracts in proto/, and where in it their Python goes."""

    root: Path
    python: Path
    imports: tuple[str, ...]
    """The modules of what the contracts import and the project does not generate."""
    also_generated: tuple[str, ...] = ()

    @property
    def proto(self) -> Path:
        return self.root / "proto"

    def sources(self) -> list[str]:
        return sorted(str(path.relative_to(self.proto)) for path in self.proto.rglob("*.proto"))

    def made(self, root: Path) -> dict[Path, Path]:
        """Every generated file below `root`, which is the project's own or a copy, by its place in the project."""
        packages = {name.partition("/")[0] for name in (*self.sources(), *self.also_generated)}
        found = [root / IMAGE] if (root / IMAGE).exists() else []
        for package in packages:
            found += [path for path in (root / self.python / package).rglob("*_pb2*") if path.suffix in {".py", ".pyi"}]
        return {path.relative_to(root): path for path in found}


OWN = Project(ROOT, Path("gen", "python"), tuple(IMPORTS), (VALIDATE,))


def another(root: Path) -> Project:
    return Project(root.resolve(), Path(), (*IMPORTS, *MESH))


def imported(project: Project) -> FileDescriptorSet:
    """The descriptors of everything that the project imports, and of buf/validate."""
    described = FileDescriptorSet()
    for module in project.imports:
        file = described.file.add()
        importlib.import_module(module).DESCRIPTOR.CopyToProto(file)
        if not file.name.startswith("google/protobuf/"):
            # googleapis-common-protos and xds-protos both bring these, and whose is installed last is chance. This is
            # all in which they differ.
            file.options.ClearField("cc_enable_arenas")
    described.file.append(FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    return described


def generate(project: Project, target: Path) -> None:
    """Writes all that is generated into an empty folder, each file at its place in the project."""
    python = target / project.python
    for folder in (python, (target / IMAGE).parent):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        imports = Path(temporary) / "imports.binpb"
        imports.write_bytes(imported(project).SerializeToString())

        def run_protoc(arguments: list[str], names: list[str]) -> None:
            well_known = files("grpc_tools") / "_proto"
            paths = [f"--descriptor_set_in={imports}", f"-I{project.proto}", f"-I{well_known}"]
            if protoc.main(["protoc", *paths, *arguments, *names]) != 0:
                raise SystemExit("protoc refused the contracts: see above")

        sources = project.sources()
        services = [name for name in sources if name.endswith("_service.proto")]
        plugins = [f"--plugin={BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
        messages = [*plugins, f"--python_out={python}", f"--mypy_out=quiet:{python}"]
        stubs = [*plugins, f"--grpc_python_out={python}", f"--mypy_grpc_out=quiet,only_async:{python}"]
        image = ["--include_imports", "--include_source_info", f"--descriptor_set_out={target / IMAGE}"]
        run_protoc(messages, [*sources, *project.also_generated])
        run_protoc(stubs, services)
        run_protoc(image, [*sources, *ALSO_DESCRIBED])


def ours(project: Project, described: FileDescriptorSet) -> Iterator[FileDescriptorProto]:
    return (file for file in described.file if file.name in set(project.sources()))


def without_policy(project: Project, described: FileDescriptorSet) -> list[str]:
    """The methods that say nothing of who may call them or how long they may take."""
    options = importlib.import_module("mesh.v1.options_pb2")
    missing = []
    # Parsed anew, now that the extensions are known.
    for file in ours(project, FileDescriptorSet.FromString(described.SerializeToString())):
        for service in file.service:
            if not service.options.Extensions[options.service_name]:
                missing.append(f"{file.package}.{service.name}: no (mesh.v1.service_name)")
            for method in service.method:
                policy = method.options.Extensions[options.policy]
                if not (policy.permission or policy.public) or not policy.HasField("default_deadline"):
                    missing.append(f"{file.package}.{service.name}.{method.name}: no access or no default_deadline")
        for enum in file.enum_type:
            if enum.name == "ErrorReason":
                missing += [
                    f"{file.package}.{value.name}: no (mesh.v1.error)"
                    for value in enum.value
                    if value.number and not value.options.Extensions[options.error].message
                ]
    return missing


def differences(project: Project, fresh: Path) -> list[str]:
    """The files that are not in the project as they are in `fresh`, or the other way round."""
    left, right = project.made(fresh), project.made(project.root)
    changed = left.keys() ^ right.keys()
    changed |= {n for n in left.keys() & right.keys() if not filecmp.cmp(left[n], right[n], shallow=False)}
    return sorted(map(str, changed))


def refuse_unsound(project: Project, image: Path) -> None:
    """Lints `image` and compares it with the checked-in descriptor set; raises what buf found."""
    others = ["google", "buf"] if project is OWN else ["google", "buf", "mesh"]
    lint = {"version": "v2", "lint": {"use": ["STANDARD"], "ignore": others}}
    subprocess.run([BIN / "buf", "lint", image, "--config", json.dumps(lint)], check=True)
    if (checked_in := project.root / IMAGE).exists():
        breaking = {"version": "v2", "breaking": {"use": ["FILE"], "ignore": others}}
        subprocess.run(
            [BIN / "buf", "breaking", image, "--against", checked_in, "--config", json.dumps(breaking)], check=True
        )
    if problems := without_policy(project, FileDescriptorSet.FromString(image.read_bytes())):
        raise SystemExit("\n".join(problems))


def check(project: Project) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        generate(project, fresh)
        refuse_unsound(project, fresh / IMAGE)
        if changed := differences(project, fresh):
            again = "make gen" if project is OWN else f"scripts/contracts.py generate --project {project.root}"
            raise SystemExit(f"gen/ is not what proto/ makes: run `{again}`\n  " + "\n  ".join(changed))
    print("contracts: linted, nothing broken, every method has a policy, gen/ is up to date")


def regenerate(project: Project, *, breaks: bool) -> None:
    """Replaces what is generated. A breaking change is refused here already: later there is nothing to compare with."""
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        generate(project, fresh)
        if not breaks:
            refuse_unsound(project, fresh / IMAGE)
        for old in project.made(project.root).values():
            old.unlink()
        for name, new in project.made(fresh).items():
            target = project.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(new, target)
            if name.name.endswith("_pb2.py"):
                (target.parent / "py.typed").touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["generate", "check"])
    parser.add_argument("--break", action="store_true", dest="breaks", help="generate although callers break")
    parser.add_argument("--project", type=Path, metavar="FOLDER", help="another product's (default: this one's)")
    arguments = parser.parse_args()
    # The options of mesh/v1 are read as the checked-in contracts have them.
    sys.path.insert(0, str(ROOT / OWN.python))
    project = another(arguments.project) if arguments.project else OWN
    try:
        if arguments.action == "check":
            check(project)
        else:
            regenerate(project, breaks=arguments.breaks)
    except subprocess.CalledProcessError as failure:
        raise SystemExit(f"{Path(failure.cmd[0]).name} {failure.cmd[1]} refused the contracts: see above") from None


if __name__ == "__main__":
    main()
