"""The Java that Spark needs."""

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from mesh.local.errors import LocalError

OLDEST = 17
_ADVICE = (
    "Install one (Debian, Ubuntu: apt install openjdk-17-jre-headless; Fedora: dnf install java-17-openjdk-headless; "
    "macOS: brew install openjdk@17), or point JAVA_HOME to it"
)


@functools.cache
def java_home() -> Path:
    """Home of a Java 17 or newer, from JAVA_HOME or PATH. Raises LocalError that says how to get one."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if not java or not os.access(java, os.X_OK):
        raise LocalError(f"Java {OLDEST} or newer is needed for Spark, and none is {_place(home)}. {_ADVICE}")
    done = subprocess.run([java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if not found or int(found[1]) < OLDEST:
        version = found[1] if found else "no version"
        raise LocalError(f"Java {OLDEST} or newer is needed for Spark, but {java} has {version}. {_ADVICE}")
    # On macOS `java` on PATH is a stub outside any home: only Java itself knows where it lives.
    inside = re.search(r"java\.home = (.+)", done.stderr)
    return Path(inside[1].strip()) if inside else Path(java).resolve().parents[1]


def _place(home: str | None) -> str:
    return f"in JAVA_HOME ({home})" if home else "on PATH"
