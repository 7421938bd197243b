"""examples/hello as its README tells a newcomer to use it: another product on the mesh, started and called."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.local import Stack, processes, running
from mesh.local.supervisor import Supervisor
from mesh.telemetry import traces
from tests.eventually import eventually_sync

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "examples" / "hello"
MESHCTL = Path(sys.executable).with_name("meshctl")
GREETING = re.compile(r"Hello, (Ada|Grace|Hedy|Katherine)!\n")
PAST_THE_GREETER = """
import asyncio, sys, grpc, mesh
from hello.v1.names_service_pb2 import PickNameRequest
from hello.v1.names_service_pb2_grpc import NamesServiceStub

async def main():
    async with mesh.connect("names", service="visitor") as channel:
        try:
            await NamesServiceStub(channel).PickName(PickNameRequest())
        except grpc.RpcError as failure:
            sys.exit(f"{failure.code().name}: {failure.details()}")

asyncio.run(main())
"""


OFTEN = """
import asyncio, grpc, mesh
from hello.v1.greeter_service_pb2 import GreetRequest
from hello.v1.greeter_service_pb2_grpc import GreeterServiceStub

async def main():
    async with mesh.connect("greeter", service="visitor") as channel:
        greeter = GreeterServiceStub(channel)
        for _ in range(30):
            try:
                await greeter.Greet(GreetRequest(greeting="Hello"))
            except grpc.RpcError as failure:
                last = failure
        print(last.code().name)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def hello() -> Iterator[Stack]:
    with running(None, None, root=HELLO) as stack:
        yield stack


def meshctl(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    done = subprocess.run(
        [MESHCTL, "--project", HELLO, *arguments],
        env=os.environ | {"MESH_RUN_DIR": str(stack.run.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def visit(stack: Stack) -> tuple[int, str, str]:
    return meshctl(stack, "exec", "python", "-m", "hello.visit")


def test_a_visitor_is_greeted_by_name(hello: Stack) -> None:
    status, printed, said = visit(hello)
    assert (status, said) == (0, "")
    assert GREETING.fullmatch(printed)


def test_names_answers_the_greeter_alone(hello: Stack) -> None:
    assert meshctl(hello, "exec", "python", "-c", PAST_THE_GREETER) == (
        1,
        "",
        "PERMISSION_DENIED: No intention allows visitor to call /hello.v1.NamesService/PickName\n",
    )


def test_without_its_intention_the_greeter_says_that_names_refused(hello: Stack) -> None:
    assert meshctl(hello, "intentions", "deny", "greeter", "names")[0] == 0
    refused = "UNAVAILABLE: There is nobody to greet: names answered PERMISSION_DENIED\n"
    eventually_sync(lambda: visit(hello) == (1, "", refused), 30)
    assert re.search(r'"source": "spiffe://[^"]+/svc/greeter"', hello.run.log("names-1").read_text())
    assert meshctl(hello, "intentions", "allow", "greeter", "names", "hello.v1.NamesService/PickName")[0] == 0
    eventually_sync(lambda: GREETING.fullmatch(visit(hello)[1]), 30)


def test_status_says_whom_an_instance_does_not_call(hello: Stack) -> None:
    def note() -> str:
        return next(row.note for row in hello.status() if row.name == "greeter-1")

    assert note() == ""
    Supervisor(hello.run).stop(["names-1"])
    assert meshctl(hello, "exec", "python", "-c", OFTEN)[1] == "UNAVAILABLE\n"
    assert note() in {"not calling names: its breaker is open", "trying names again"}
    Supervisor(hello.run).start("names-1")
    eventually_sync(lambda: GREETING.fullmatch(visit(hello)[1]), 30)
    eventually_sync(lambda: note() == "")


def test_a_trace_goes_from_the_greeter_to_names(hello: Stack) -> None:
    assert meshctl(hello, "live", "greeter", "set", "trace_ratio=1")[0] == 0

    def traced() -> bool:
        visit(hello)
        return expected in map(edges, traces.read(hello.run.path))

    expected = {
        ("visitor", "greeter /hello.v1.GreeterService/Greet", ""),
        ("", "greeter /hello.v1.NamesService/PickName", "greeter /hello.v1.GreeterService/Greet"),
        ("greeter", "names /hello.v1.NamesService/PickName", "greeter /hello.v1.NamesService/PickName"),
    }
    eventually_sync(traced, 30)


def edges(trace: traces.Trace) -> set[tuple[str, str, str]]:
    """Of each span the workload whose call it served, itself, and the span that led to it."""
    names = {"": "", **{span.span_id: f"{span.service} {span.name}" for span in trace.spans}}
    return {
        (span.attributes.get("mesh.peer", ""), names[span.span_id], names.get(span.parent_id, "missing"))
        for span in trace.spans
    }


def test_one_command_starts_calls_shows_and_stops_it(tmp_path: Path) -> None:
    environment = os.environ | {"MESH_RUN_DIR": str(tmp_path / "run")}
    done = subprocess.run(["make", "-C", HELLO], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert GREETING.search(done.stdout)
    for shown in ("greeter-1", "hello.v1.NamesService/PickName"):
        assert shown in done.stdout
    assert done.stderr.endswith("stopped\n")
    assert processes.of_stack(tmp_path / "run") == []


def test_exec_says_in_a_line_what_cannot_be_run(hello: Stack) -> None:
    assert meshctl(hello, "exec", "no-such-program") == (
        1,
        "",
        "meshctl: no-such-program cannot be run: No such file or directory\n",
    )


def test_its_own_tests_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=HELLO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 passed", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("", "contracts: linted, nothing broken, every method has a policy, gen/ is up to date"),
        (r"default_deadline: \{seconds: 1\}", "NamesService.PickName: no access or no default_deadline"),
        (r'option \(mesh.v1.service_name\) = "names";', "NamesService: no (mesh.v1.service_name)"),
        (r"// Knows names.", "run `scripts/contracts.py generate --project "),
    ],
)
def test_its_contracts_are_held_to_the_same_rules(tmp_path: Path, pattern: str, told: str) -> None:
    project = tmp_path / "hello"
    shutil.copytree(HELLO, project, ignore=shutil.ignore_patterns(".run", "__pycache__"))
    contract = project / "proto/hello/v1/names_service.proto"
    contract.write_text(re.sub(pattern, "", contract.read_text(), count=1))
    command = [sys.executable, str(ROOT / "scripts" / "contracts.py"), "check", "--project", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told in done.stdout + done.stderr
    assert done.returncode == (1 if pattern else 0)
