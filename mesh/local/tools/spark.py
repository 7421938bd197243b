"""Where the pyspark package keeps Spark."""

import importlib.util
from pathlib import Path

from mesh.local.errors import LocalError


def spark_home() -> Path:
    """The Spark installation inside pyspark, found without importing it. Raises LocalError."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise LocalError("the package pyspark is not installed: run scripts/setup, or set SPARK_REMOTE")
    return Path(spec.origin).parent
