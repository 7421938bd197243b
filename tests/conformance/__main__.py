"""`python -m tests.conformance`: runs the foreign suites against a bare gRPC server, the mesh's and the edge.

Prints how many cases of each passed and, with `--failed`, which did not. Takes about five minutes after the first time.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.suites import VARIABLE, generated_code, suites

CONFIGURATIONS = {
    "bare": {"gRPC": "grpc.yaml"},
    "mesh": {"gRPC": "grpc.yaml"},
    "edge": {"gRPC": "edge.yaml", "gRPC-web": "edge-web.yaml"},
}
CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "rpc_soak",
    "channel_soak",
]
"""All but those that want Google's credentials, several servers, or load reports (ORCA)."""
# A bare server's answers to a call without a message never come, and the suite gives up what it has not begun.
_UNANSWERED = ("--skip", "**/unary/no-request", "--skip", "**/server-stream/no-request")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="*", choices=[*CONFIGURATIONS, []], help="which servers; all if none is named")
    parser.add_argument("--failed", action="store_true", help="print what the suites say of what failed")
    options = parser.parse_args()
    folder = suites()
    environment = {**os.environ, "PYTHONPATH": generated_code(folder), VARIABLE: str(folder / "contracts.binpb")}
    for kind in options.kind or CONFIGURATIONS:
        for title, passed, failed in _all(kind, folder, environment):
            print(f"{kind:5} {title:25} {passed:4} passed {len(failed):4} failed", flush=True)
            if options.failed:
                print(*failed, sep="\n", flush=True)


def _all(kind: str, folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, int, list[str]]]:
    command = [sys.executable, "-m", "tests.conformance.server", kind]
    for protocol, configuration in CONFIGURATIONS[kind].items():
        yield f"connectconformance {protocol}", *_connect(
            [str(folder / "connectconformance"), "--mode", "server", "--max-servers", "1",
             "--conf", str(Path(__file__).with_name(configuration)), *(_UNANSWERED if kind == "bare" else ()),
             "--", *command], environment)  # fmt: skip
    yield "gRPC interop", *_interop([str(folder / "interop")], [*command, "--plain"], environment)


def _connect(command: list[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    counted = re.search(r"(\d+) passed, (\d+) failed", done.stdout)
    if counted is None:
        raise SystemExit(f"the suite ended early:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = re.findall(r"^FAILED: .*(?:\n\t.*)*", done.stdout, re.MULTILINE)
    return int(counted[1]), failed + re.findall("Another .* could not be run.*", done.stdout)


def _interop(client: list[str], command: list[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    failed = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        for case in CASES:
            arguments = (f"--server_port={port}", "--server_host=127.0.0.1", f"--test_case={case}")
            try:
                done = subprocess.run([*client, *arguments], capture_output=True, text=True, check=False, timeout=60)
                said = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
            except subprocess.TimeoutExpired:
                said = "no end within a minute"
            if said:
                failed.append(f"{case}: {said}")
        server.terminate()
    return len(CASES) - len(failed), failed


if __name__ == "__main__":
    main()
