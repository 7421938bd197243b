"""CPU and wall-clock seconds of real processes."""

import subprocess
import sys

import psutil

from bench.cost import cost

_BUSY = """
import time
print("ready", flush=True)
input()
begin = time.process_time()
while time.process_time() < begin + 0.3: pass
print("done", flush=True)
input()
"""


def started() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert tell(process) == "ready\n"
    return process


def tell(process: subprocess.Popen[str], line: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    return process.stdout.readline()


def test_it_counts_the_cpu_of_another_process_and_leaves_out_one_that_ends() -> None:
    with started() as busy, started() as ending:
        with cost([psutil.Process(busy.pid), psutil.Process(ending.pid)]) as spent:
            assert tell(busy, "\n") == "done\n"
            ending.communicate("\n\n")
        busy.communicate("\n")
    # The kernel counts in ticks of 10 ms, and the two of them used 0.6 s.
    assert 0.28 <= spent.cpu < 0.5
    assert spent.wall >= 0.28
