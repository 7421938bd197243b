"""What a process tells at its metrics port."""

import http.client
import urllib.request


def metrics(host: str, port: str, seconds: float) -> str | None:
    """Prometheus' text; None without an answer within `seconds`: the process is gone, or the port is another's."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=seconds) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException):
        return None
