"""meshctl as a person uses it: exit statuses, messages, and no traceback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.local import Stack, breakers, processes
from mesh.local.ports import claimed
from tests.eventually import eventually_sync
from tests.local.conftest import IDLER

MESHCTL = Path(sys.executable).with_name("meshctl")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A project of one service and no component. Whatever a test leaves is ended."""
    (tmp_path / "mesh.toml").write_text('[services.idler]\ncommand = ["python", "idler.py"]\n')
    (tmp_path / "idler.py").write_text(IDLER)
    yield tmp_path
    Stack.load(tmp_path, environ={}).down()


def meshctl(project: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a call from inside the project."""
    environment = {name: value for name, value in os.environ.items() if name != "MESH_RUN_DIR"}
    done = subprocess.run(
        [MESHCTL, *arguments], cwd=project, env=environment | more, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_stack_from_up_to_down(small: Path) -> None:
    status, _, said = meshctl(small, "up", "--detach")
    assert status == 0
    assert "idler-1 ready" in said
    assert said.endswith("ready\n")

    assert meshctl(small, "up", "--detach")[2].endswith("ready (it was up already)\n")

    status, printed, _ = meshctl(small, "status", "--json")
    assert status == 0
    assert {row["name"]: row["health"] for row in json.loads(printed)} == {
        "supervisor": "healthy",
        "lakehouse": "healthy",
        "idler-1": "healthy",
    }
    status, printed, _ = meshctl(small, "status")
    assert status == 0
    assert "idler-1" in printed

    assert meshctl(small, "logs", "idler")[1].startswith("idler-1 | idling\n")

    assert meshctl(small, "up", "--detach", "--replicas", "idler=2")[0] == 0
    assert "idler-2" in meshctl(small, "status")[1]

    assert meshctl(small, "down") == (0, "", "stopped\n")
    assert meshctl(small, "down") == (0, "", "nothing ran\n")


def test_status_tells_down_from_ill(small: Path) -> None:
    status, _, said = meshctl(small, "status")
    assert status == 3
    assert "start it with meshctl up" in said

    meshctl(small, "up", "--detach")
    (small / "idler.py").write_text("raise SystemExit(1)")
    [idler] = [process for process in processes.of_stack(small / ".run") if "idler.py" in process.cmdline()]
    idler.kill()

    def ill() -> bool:
        status, printed, _ = meshctl(small, "status")
        return status == 1 and "crashed" in printed

    eventually_sync(ill)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_shows_logs_and_a_signal_stops_it(small: Path, number: signal.Signals) -> None:
    with subprocess.Popen([MESHCTL, "--project", small, "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as up:
        with contextlib.closing(up.stderr) as said:  # type: ignore[type-var]
            assert said is not None
            assert any(line.startswith(b"ready; Ctrl-C stops it") for line in said)
            assert processes.of_stack(small / ".run")
            up.send_signal(number)
            rest = said.read()
        assert up.wait(20) == (0 if number is signal.SIGINT else 143)
    assert b"Traceback" not in rest
    assert processes.of_stack(small / ".run") == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["up", "--detach", "--replicas", "idler"], "--replicas takes SERVICE=NUMBER, as in sales=3, not 'idler'"),
        (["up", "--detach", "--replicas", "idler=-1"], "--replicas takes SERVICE=NUMBER"),
        (["up", "--detach", "--replicas", "nobody=2"], "no such service: nobody"),
        (["logs", "nobody"], "there is no log of nobody"),
    ],
)
def test_a_mistake_is_one_line(small: Path, arguments: list[str], told: str) -> None:
    status, _, said = meshctl(small, *arguments)
    assert status == 1
    assert said.startswith("meshctl: ")
    assert told in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("verb", [["endpoints"], ["certs"], ["top"], ["split", "idler"], ["live", "idler"]])
def test_that_consul_is_away_is_said_with_why(small: Path, verb: list[str]) -> None:
    with claimed({"consul": 0}) as ports:
        away = f"127.0.0.1:{ports['consul']}"
        begun = time.monotonic()
        status, printed, said = meshctl(small, *verb, CONSUL_HTTP_ADDR=away)
    assert (status, printed) == (1, "")
    assert said.startswith(f"meshctl: Consul at {away}: Cannot connect")
    assert len(said.splitlines()) == 1
    assert time.monotonic() - begun < 8  # of which the imports are most


def test_what_runs_on_this_machine_is_reached_without_a_proxy(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text(
        'components = ["consul"]\n[control]\ncommand = ["python", "-m", "mesh.control"]'
    )
    nowhere = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "example.org"}
    try:
        status, _, said = meshctl(tmp_path, "up", "--detach", **nowhere)
        assert status == 0, said
        assert meshctl(tmp_path, "status", **nowhere)[0] == 0
        _, printed, _ = meshctl(tmp_path, "exec", "sh", "-c", "echo $no_proxy", **nowhere)
        assert printed == "127.0.0.1,example.org\n"
    finally:
        Stack.load(tmp_path, environ={}).down()


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x00\x06\x04\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"]
)
def test_a_metrics_port_that_belongs_to_somebody_else_by_now_tells_nothing(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        told = pool.submit(breakers.told, "127.0.0.1", str(server.getsockname()[1]))
        asking, _ = server.accept()
        with asking:
            asking.recv(1000)
            asking.sendall(answer)
        assert told.result() == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "mesh.toml is missing: run this in the project's folder, or name it with --project"),
        ("components = [", "mesh.toml: "),
        ("colour = 1", "unknown key colour"),
        ('[services.a]\ncommand = ["a"]\ncolour = 1', "unknown key colour in [services.a]"),
        ("[services.a]\nreplicas = 1", "mesh.toml: 'command'"),
        ('[services.a]\ncommand = ["a"]\nreplicas = "two"', "replicas in [services.a] must be a whole number"),
        ('services = ["a"]', "[services] must be a table"),
        ('[services]\na = "b"', "[services.a] must be a table"),
        ('[services.a]\ncommand = "python -m a"', "command in [services.a] must be a list of words"),
        ('[services.control]\ncommand = ["a"]', "[services.control]: the control plane has this name"),
        ('control = "a"', "[control] must be a table"),
        ('secrets = "a"', "[secrets] must be a table"),
        ('[intentions]\na = "b"', "[intentions.a] must be a table"),
    ],
)
def test_a_bad_declaration_is_refused_by_name(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "mesh.toml").write_text(content)
    status, _, said = meshctl(tmp_path, "up", "--detach")
    assert status == 1
    assert told in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / ".run").exists()


def test_help_names_every_verb(tmp_path: Path) -> None:
    status, printed, _ = meshctl(tmp_path, "--help")
    assert status == 0
    for verb in ("up", "down", "status", "logs"):
        assert f" {verb} " in printed
        assert meshctl(tmp_path, verb, "--help")[0] == 0


def test_logs_of_several_programs_are_in_the_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text("")
    folder = tmp_path / ".run" / "logs"
    folder.mkdir(parents=True)
    (folder / "a-1.log").write_text(
        '{"timestamp": "2026-01-02T03:04:05.1Z", "m": "first"}\n{"timestamp": "2026-01-02T03:04:07Z"}\n  its stack\n'
    )
    (folder / "a-2.log").write_text(
        "no time yet\n2026-01-02T05:04:06.123456789+02:00 second\n9999-99-99 99:99:99 no time\n"
    )
    status, printed, _ = meshctl(tmp_path, "logs", "a")
    assert status == 0
    lines = printed.splitlines()
    assert [line.partition(" | ")[0] for line in lines] == ["a-2", "a-1", "a-2", "a-2", "a-1", "a-1"]
    told = ("no time yet", "first", "second", "no time", "03:04:07Z", "its stack")
    assert all(each in line for each, line in zip(told, lines, strict=True))
