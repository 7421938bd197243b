"""meshctl: run and watch a stack on this machine. A product adds verbs through the entry points `meshctl.commands`."""

import os
import sys


def main() -> None:
    """Entry point of `meshctl`. Errors are one message on stderr and exit status 1, never a traceback."""
    from mesh.cli.app import app  # noqa: PLC0415 - not to be imported by who only wants the package
    from mesh.local.errors import LocalError  # noqa: PLC0415

    # gRPC's core reads it when it is loaded, and writes of a certificate that it has not read yet as of an error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # gRPC and urllib follow these variables, here and in what is started: what runs on this machine has no proxy.
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"127.0.0.1,{others}" if others else "127.0.0.1"
    try:
        app()
    except LocalError as error:
        print(f"meshctl: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
