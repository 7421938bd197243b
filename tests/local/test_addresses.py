"""Ports that are taken, and components given from outside."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mesh.local import LocalError, Stack, processes
from mesh.local.components import KINDS, Site
from mesh.local.ports import claimed, is_free
from mesh.local.report import Silent
from mesh.local.rundir import RunDir
from tests.local.conftest import Told


def load(project: Path, run: Path, environ: dict[str, str], components: Sequence[str]) -> Stack:
    return Stack.load(project, run_dir=run, environ=environ, components=components, services=[])


@contextlib.contextmanager
def listener(port: int = 0) -> Iterator[int]:
    """Something that listens, unless something does already."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            taken.listen()
        yield port or taken.getsockname()[1]


def test_a_taken_port_is_replaced_and_that_is_said(project: Path, tmp_path: Path) -> None:
    stack, told = load(project, tmp_path / "run", {}, ["valkey"]), Told()
    with listener(6379):
        try:
            stack.up(report=told)
            port = stack.port("valkey")
            assert port != 6379
            assert f"port 6379 is taken: valkey uses {port}" in told.lines
            assert next(row for row in stack.status() if row.name == "valkey").healthy
        finally:
            stack.down()


def test_two_stacks_that_start_at_a_time_get_different_ports() -> None:
    with claimed({"one": 0}) as first:
        preferred = {"two": first["one"]}
        with claimed(preferred) as second:
            assert second != preferred
            assert is_free(second["two"])
    with claimed(preferred) as third:
        assert third == preferred


@pytest.mark.parametrize(
    ("component", "url", "shown"),
    [
        ("consul", "http://127.0.0.1:{port}", "127.0.0.1:{port}"),
        ("postgres", "postgresql://me:hidden@127.0.0.1:{port}/shop", "127.0.0.1:{port}/shop"),
        ("valkey", "redis://:hidden@127.0.0.1:{port}/0", "127.0.0.1:{port}/0"),
        ("spark", "sc://127.0.0.1:{port}/;token=hidden", "sc://127.0.0.1:{port}"),
        ("lakehouse", "file:///nowhere/at/all", "file:///nowhere/at/all"),
    ],
)
def test_an_unreachable_one_is_named_with_what_to_do(
    project: Path, tmp_path: Path, component: str, url: str, shown: str
) -> None:
    with listener() as port:
        pass  # closed: nothing listens there now
    variable = KINDS[component].variable
    stack = load(project, tmp_path / "run", {variable: url.format(port=port)}, [component])
    with pytest.raises(LocalError) as caught:
        stack.up()
    message = str(caught.value)
    assert message.startswith(f"{component} at ")
    assert f"{shown.format(port=port)} (from {variable})" in message
    assert "To do: " in message
    assert "hidden" not in message
    assert len(message.splitlines()) == 1
    assert processes.of_stack(stack.run.path) == []


class OldConsul(http.server.BaseHTTPRequestHandler):
    answers = {  # noqa: RUF012
        "/v1/status/leader": "127.0.0.1:8300",
        "/v1/connect/ca/roots": {"Roots": [{"ID": "a"}]},
        "/v1/agent/self": {"Config": {"Version": "1.15.3"}},
    }

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answers[self.path]).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def old_consul() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OldConsul) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_wrong_version_is_named_with_the_right_one(project: Path, tmp_path: Path, old_consul: str) -> None:
    stack = load(project, tmp_path / "run", {"CONSUL_HTTP_ADDR": old_consul}, ["consul"])
    with pytest.raises(LocalError, match=r"^consul at .* has version 1\.15\.3, but Consul 1\.22 or later .* is needed"):
        stack.up()


def test_what_is_no_spark_is_told_from_one(project: Path, tmp_path: Path, old_consul: str) -> None:
    stack = load(project, tmp_path / "run", {"SPARK_REMOTE": f"sc://{old_consul}"}, ["spark"])
    with pytest.raises(LocalError, match="what listens there does not speak gRPC"):
        stack.up()


@pytest.mark.parametrize(
    ("component", "good", "bad"),
    [
        ("consul", ["1.22.0", "1.22.7+ent", "2.0.0"], ["1.21.9", "1.9.0"]),
        ("postgres", ["15.1 (Debian 15.1-1)", "18.6"], ["14.20", "9.6"]),
        ("valkey", ["7.0.0", "9.1.2"], ["6.2.14"]),
        ("spark", ["4.2.0"], ["4.1.1", "4.10.0", "3.5.6"]),
    ],
)
def test_which_versions_will_do(tmp_path: Path, component: str, good: list[str], bad: list[str]) -> None:
    site = Site(tmp_path, RunDir(tmp_path), tmp_path, Silent(), {}, controls=())
    suits = KINDS[component](site, "given").suits
    assert [version for version in good if not suits(version)] == []
    assert [version for version in bad if suits(version)] == []


def test_a_given_component_is_used_and_none_is_started(project: Path, tmp_path: Path, stack: Stack) -> None:
    environ = {"REDIS_URL": stack.environment["REDIS_URL"]}
    user = load(project, tmp_path / "run", environ, ["valkey"])
    try:
        user.up()
        row = next(row for row in user.status() if row.name == "valkey")
        assert (row.health, row.note) == ("healthy", "given from outside")
        assert user.environment["REDIS_URL"] == environ["REDIS_URL"]
        [supervisor] = processes.of_stack(user.run.path)
        assert "supervisor.supervisord" in supervisor.cmdline()
    finally:
        user.down()
    assert next(row for row in stack.status() if row.name == "valkey").healthy


def test_a_running_stack_does_not_change_its_components(project: Path, stack: Stack) -> None:
    environ = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    later = Stack.load(project, run_dir=stack.run.path, environ=environ, services=["worker"])
    with pytest.raises(LocalError, match="another valkey than REDIS_URL says: run meshctl down first"):
        later.up()
