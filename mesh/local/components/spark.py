"""Spark Connect with Delta: one JVM of its own, in the foreground, on loopback."""

import os
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import ClassVar

from mesh.local.components.base import Component, NotReadyError, numbers
from mesh.local.report import Report
from mesh.local.supervisor import Program
from mesh.local.tools.delta import delta_jars
from mesh.local.tools.java import java_home
from mesh.local.tools.spark import spark_home

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and an empty SETTINGS frame
_SETTINGS = 4

# In a process of its own: it leaves no gRPC channel in this one, and its imports cost nothing to who has no Spark.
_CHECK = """
import sys, warnings
warnings.simplefilter("ignore")
from pyspark.sql import SparkSession
try:
    session = SparkSession.builder.remote(sys.argv[1]).create()
    if "Delta" not in session.conf.get("spark.sql.extensions", ""):
        sys.exit("it runs without Delta Lake's extension")
    session.range(1).collect()
    print(session.version)
    session.stop()
except Exception as error:
    sys.exit(str(error).partition("\\n")[0])
"""


class Spark(Component):
    """SPARK_REMOTE, as `sc://host:port`."""

    name = "spark"
    variable = "SPARK_REMOTE"
    wanted = "Spark 4.2 with Delta 4.4"
    ports: ClassVar = {"spark": 15002}
    patience_seconds = 120

    def local_url(self) -> str:
        return f"sc://127.0.0.1:{self.site.ports['spark']}"

    @property
    def shown(self) -> str:
        return self.url.partition(";")[0].rstrip("/")  # what follows may hold a token

    @classmethod
    def provide(cls, cache: Path, report: Report) -> None:
        java_home()
        delta_jars(cache, report)

    def prepare(self) -> None:
        self.site.run.folder("spark")

    def program(self) -> Program:
        home, work = spark_home(), self.site.run.path / "spark"
        jars = ",".join(str(jar) for jar in delta_jars(self.site.cache, self.site.report))
        settings = {
            "spark.driver.extraJavaOptions": f"-XX:+UseParallelGC -Djava.io.tmpdir='{work}'",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": self.site.ports["spark"],
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.session.timeZone": "UTC",
            # The defaults (200, 50) are for clusters: with them a count of a thousand rows takes 12 s.
            "spark.sql.shuffle.partitions": 4,
            "spark.databricks.delta.snapshotPartitions": 2,
            "spark.sql.warehouse.dir": work / "warehouse",
            "spark.local.dir": work,
            "spark.ui.enabled": "false",
            "spark.log.level": "WARN",
        }
        options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
        command = (
            str(home / "bin" / "spark-submit"),
            *("--master", "local[*]", "--driver-memory", "2g", "--jars", jars, *options),
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"),
        )
        environment = {
            "SPARK_HOME": str(home),
            "JAVA_HOME": str(java_home()),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        return Program(self.name, command, work, environment)

    def check(self) -> str:
        self.ping()  # it fails at once where starting a process for the rest would take a second
        environment = {key: value for key, value in os.environ.items() if key != "SPARK_REMOTE"}
        try:
            done = subprocess.run(
                [sys.executable, "-c", _CHECK, self.url],
                env=environment, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise NotReadyError("it did not run a trivial query within 60 s") from error
        if done.returncode:
            raise NotReadyError((done.stderr.strip().splitlines() or ["it did not run a trivial query"])[-1])
        return done.stdout.strip()

    def ping(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 15002), timeout=3) as connection:
                if "use_ssl=true" in self.url:
                    return ""
                connection.sendall(_HTTP2_PREFACE)
                frame = connection.recv(9)
        except OSError as error:
            raise NotReadyError(str(error)) from error
        if len(frame) < 9 or frame[3] != _SETTINGS:
            raise NotReadyError("what listens there does not speak gRPC")
        return ""

    def suits(self, version: str) -> bool:
        return numbers(version)[:2] == (4, 2)
