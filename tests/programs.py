"""Programs of the project as processes of their own, beside a stack."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.eventually import eventually_sync

_START_SECONDS = 20
_GRACE_SECONDS = 15


@dataclass(frozen=True)
class Program:
    """A running Python module that writes one JSON object a line."""

    process: "subprocess.Popen[bytes]"
    output: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it has written so far; what is no JSON object, a traceback for example, is under `text`."""
        *whole, _ = self.output.read_text().split("\n")
        return [json.loads(line) if line.startswith("{") else {"text": line} for line in whole]

    def said(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this message."""
        return [line for line in self.lines() if line.get("message") == message]

    def registered(self) -> None:
        """Waits until it has registered itself in Consul, which a service does last."""
        eventually_sync(lambda: self.said("registered"), _START_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end, which must come within 15 s. Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_GRACE_SECONDS)


@contextlib.contextmanager
def program(module: str, *arguments: str, environment: Mapping[str, str], output: Path) -> Iterator[Program]:
    """Runs `python -m module arguments` until the block ends, if it has not been stopped by then."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    running = Program(process, output)
    try:
        yield running
    finally:
        try:
            running.stop()
        finally:
            process.kill()
            process.wait()
