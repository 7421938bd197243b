"""The guide names every figure that there is, with its labels."""

import re
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

import mesh.client
import mesh.control.__main__
import mesh.membership  # noqa: F401 - these import all that has figures

GUIDE = Path(__file__).parents[2] / "docs" / "telemetry.md"
_SUFFIXES = {"counter": "_total", "info": "_info"}


def test_every_figure_is_in_the_guide() -> None:
    told = {
        name: tuple(filter(None, labels.split(", ")))
        for name, labels in re.findall(r"^\| `(mesh_\w+)` \| ([\w, ]*?) ?\|", GUIDE.read_text(), re.MULTILINE)
    }
    there = {}
    for family in REGISTRY.collect():
        if family.name.startswith("mesh_"):
            [metric] = [each for each in collectors() if each._name == family.name]
            labels = metric._labelnames or (("version",) if family.type == "info" else ())
            there[family.name + _SUFFIXES.get(family.type, "")] = tuple(labels)
    assert told == there


def collectors() -> list[MetricWrapperBase]:
    return [each for each in REGISTRY._collector_to_names if isinstance(each, MetricWrapperBase)]
