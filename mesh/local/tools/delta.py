"""The jars of Delta Lake for Spark: resolved by Ivy once, plain files from then on."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mesh.local.errors import LocalError
from mesh.local.report import Report
from mesh.local.tools.cache import provided
from mesh.local.tools.java import java_home
from mesh.local.tools.spark import spark_home

VERSION = "4.4.0"
_COORDINATE = f"io.delta:delta-spark_4.2_2.13:{VERSION}"


def delta_jars(cache: Path, report: Report) -> list[Path]:
    """The jars to add to Spark's own; fetching them takes half a minute (87 MB). Raises LocalError."""
    return sorted(provided(cache / f"delta-{VERSION}", lambda folder: _resolve(folder, report), report).glob("*.jar"))


def _resolve(folder: Path, report: Report) -> None:
    report.line(f"fetching Delta Lake {VERSION} for Spark, once (87 MB)")
    # An Ivy folder of its own: one that another program half filled makes the resolution fail.
    with tempfile.TemporaryDirectory(dir=folder.parent) as ivy:
        resolution = subprocess.Popen(
            [
                str(spark_home() / "bin" / "spark-submit"), "--master", "local[1]",
                "--conf", f"spark.jars.ivy={ivy}", "--conf", "spark.ui.enabled=false",
                "--packages", _COORDINATE, "--class", "org.apache.spark.deploy.Nothing", "spark-internal",
            ],
            env={**os.environ, "SPARK_HOME": str(spark_home()), "JAVA_HOME": str(java_home())},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        output: list[str] = []
        with resolution:
            for line in resolution.stdout or ():
                output.append(line.strip())
                if line.startswith("downloading"):
                    report.progress("fetching jars", sum(text.startswith("downloading") for text in output), 33)
        # The class to run doesn't exist, so the exit status says nothing: the jars do.
        jars = sorted(Path(ivy).glob("jars/*.jar"))
        if not any(VERSION in jar.name and "delta-spark" in jar.name for jar in jars):
            problem = next((line for line in output if "UNRESOLVED" in line or "Exception" in line), "no answer")
            raise LocalError(f"Delta Lake {VERSION} could not be fetched from Maven: {problem}. Try again when online")
        shipped = {_artifact(jar.name) for jar in (spark_home() / "jars").glob("*.jar")}
        for jar in jars:
            if _artifact(jar.name.partition("_")[2]) not in shipped:  # Spark has its own Hadoop, Parquet, Jackson ...
                shutil.move(jar, folder / jar.name)
    report.line(f"fetched Delta Lake {VERSION}")


def _artifact(name: str) -> str:
    return re.sub(r"-\d[\w.-]*\.jar$", "", name)
