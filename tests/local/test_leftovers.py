"""`down` leaves no process, whatever happened before; and it ends nothing else."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from mesh.local import LocalError, Stack, processes
from mesh.local.supervisor import Supervisor
from tests.eventually import eventually_sync
from tests.local.conftest import Told


def of_stack(stack: Stack) -> list[psutil.Process]:
    return processes.of_stack(stack.run.path)


def kill_supervisor(stack: Stack) -> None:
    supervisor = Supervisor(stack.run)
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually_sync(lambda: not supervisor.alive())


def test_after_kill_9_of_the_supervisor_up_starts_afresh_and_down_ends_all(project: Path, tmp_path: Path) -> None:
    # With the two programs that write over the mark in their environment.
    stack = Stack.load(
        project, run_dir=tmp_path / "run", environ={}, components=["postgres", "valkey"], services=["idler"]
    )
    try:
        stack.up()
        before = of_stack(stack)
        assert {"postgres", "valkey-server"} <= {process.name() for process in before}

        kill_supervisor(stack)
        assert [row.health for row in stack.status() if row.name == "supervisor"] == ["dead"]
        told = Told()
        assert stack.up(report=told)
        assert "that an earlier supervisor left" in told.lines[0]
        assert not [process for process in before if process.is_running()]
        assert all(row.healthy for row in stack.status())

        kill_supervisor(stack)
        assert stack.down()
        assert of_stack(stack) == []
    finally:
        stack.down()


def test_down_ends_everything_and_says_when_there_is_nothing(idle: Stack) -> None:
    assert not idle.down()
    idle.up()
    assert of_stack(idle)
    assert idle.down()
    assert of_stack(idle) == []
    assert not idle.down()
    assert idle.status() == []


def test_it_never_ends_a_shell_that_only_looks_like_a_part(idle: Stack) -> None:
    idle.up()
    bystander = subprocess.Popen(
        ["sleep", "1000"], cwd=idle.run.path, env={**os.environ, "MESH_RUN_DIR": str(idle.run.path)}
    )
    try:
        kill_supervisor(idle)
        assert idle.down()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_start_that_fails_says_why_and_leaves_nothing(project: Path, tmp_path: Path) -> None:
    stack = Stack.load(project, run_dir=tmp_path / "run", environ={}, components=[], services=["idler", "broken"])
    with pytest.raises(LocalError, match=r"(?s)broken-1 crashed 3 times.*the reason it broke"):
        stack.up({"broken": 1})
    assert of_stack(stack) == []
    assert stack.status() == []


def test_a_failing_change_leaves_the_running_stack_alone(project: Path, tmp_path: Path) -> None:
    stack = Stack.load(project, run_dir=tmp_path / "run", environ={}, components=[], services=["idler", "broken"])
    try:
        stack.up()
        with pytest.raises(LocalError, match="broken-1"):
            stack.up({"broken": 1})
        assert next(row for row in stack.status() if row.name == "idler-1").healthy
    finally:
        stack.down()


def test_two_at_a_time_start_one_stack(idle: Stack) -> None:
    started: list[bool] = []
    threads = [threading.Thread(target=lambda: started.append(idle.up())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [False, True]
    assert len([process for process in of_stack(idle) if "idler.py" in process.cmdline()]) == 1


def test_a_deep_run_folder_works(project: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30) / "run"
    stack = Stack.load(project, run_dir=deep, environ={}, components=[], services=["idler"])
    try:
        stack.up()
        assert all(row.healthy for row in stack.status())
    finally:
        stack.down()


def test_what_a_killed_test_left_is_ended_by_the_next(project: Path) -> None:
    killed = (
        "import os, signal\n"
        "from mesh.local import running\n"
        "with running([], ['idler'], control=False) as stack:\n"
        "    print(stack.run.path, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = Path(done.stdout.strip())
    assert processes.of_stack(left)
    cleaning = "from mesh.local import running\nwith running(): pass"
    subprocess.run([sys.executable, "-c", cleaning], cwd=project, check=True)
    assert processes.of_stack(left) == []
    assert not left.exists()
    shutil.rmtree(left.parent, ignore_errors=True)
