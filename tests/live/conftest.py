"""One Consul for the tests that follow it and for the verbs that write to it."""

import contextlib
import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from mesh.cli import main
from mesh.local import Stack, running
from tests.stacks import without

MESHCTL = Path(sys.executable).with_name("meshctl")


@dataclass(frozen=True)
class Said:
    """What became of a call of meshctl."""

    status: int
    output: str
    error: str


@dataclass(frozen=True)
class Operator:
    """Somebody at the keyboard of the stack."""

    stack: Stack

    @property
    def consul_url(self) -> str:
        return self.stack.environment["CONSUL_HTTP_ADDR"]

    def meshctl(self, *arguments: str) -> Said:
        """As a process of its own."""
        environment = os.environ | self._environment
        done = subprocess.run([MESHCTL, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def quick(self, *arguments: str) -> Said:
        """The same in this process, which spares it a second of importing."""
        output, error = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self._environment),
            mock.patch.object(sys, "argv", ["meshctl", *arguments]),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(error),
            pytest.raises(SystemExit) as end,
        ):
            sys.exit(main())  # type: ignore[func-returns-value]
        status = end.value.code or 0
        assert isinstance(status, int)
        return Said(status, output.getvalue(), error.getvalue())

    @property
    def _environment(self) -> dict[str, str]:
        return {"MESH_RUN_DIR": str(self.stack.run.path)}

    def consul_away(self) -> contextlib.AbstractContextManager[None]:
        return without(self.stack, "consul")


@pytest.fixture(scope="package")
def operator() -> Iterator[Operator]:
    with running(["consul"]) as stack:
        yield Operator(stack)


@pytest.fixture
def service() -> str:
    """A service that no other test has touched."""
    return f"s-{uuid.uuid4().hex[:8]}"
