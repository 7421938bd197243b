"""What is understood of Consul's entries about versions, and that the rest is refused and changes nothing."""

import logging
from typing import Any

import pytest

from mesh.control.snapshot import Share
from mesh.control.splits import Splits


def resolver(**filters: str) -> dict[str, Any]:
    subsets = {name.replace("_", "-"): {"Filter": text, "OnlyPassing": False} for name, text in filters.items()}
    return {"Kind": "service-resolver", "Name": "sales", "Subsets": subsets, "Meta": None, "ConnectTimeout": "0s"}


def splitter(*splits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Kind": "service-splitter", "Name": "sales", "Splits": list(splits), **more}


def share(weight: float, subset: str = "", **more: Any) -> dict[str, Any]:
    return {"Weight": weight, "ServiceSubset": subset, **more}


BOTH = resolver(v_1='Service.Meta.version == "1"', v_2='Service.Meta.version == "2"')
TENTH = splitter(share(90, "v-1"), share(10, "v-2"))


def test_versions_and_weights_are_understood() -> None:
    splits = Splits()
    splits.take([BOTH], [TENTH])
    assert splits.subsets == {"sales": {"v-1": "1", "v-2": "2"}}
    assert splits.shares == {"sales": (Share("v-1", 90_00), Share("v-2", 10_00))}
    splits.take([BOTH], [splitter(share(99.95), share(0.05, "v-2"))])
    assert splits.shares == {"sales": (Share("", 99_95), Share("v-2", 5))}
    splits.take([BOTH], [])
    assert splits.shares == {}
    splits.take([], [])
    assert splits.subsets == {}


@pytest.mark.parametrize(
    "entry",
    [
        splitter(share(90, "v-1"), share(10, "v-3")),
        splitter(share(90, "v-1"), share(20, "v-2")),
        splitter(share(110, "v-1"), share(-10, "v-2")),
        splitter(share(90, "v-1"), share(10, Service="search")),
        splitter(share(90, "v-1"), share(10, "v-2", RequestHeaders={"Add": {"x": "y"}})),
        splitter(share(90, "v-1"), {"ServiceSubset": "v-2"}),
        splitter(share(100, "v-1"), Whatever=True),
    ],
)
def test_a_split_that_is_not_understood_is_refused_and_the_old_one_stays(
    entry: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    splits = Splits()
    splits.take([BOTH], [TENTH])
    before = splits.shares
    with caplog.at_level(logging.ERROR, logger="mesh.control.splits"):
        splits.take([BOTH], [entry])
    assert splits.shares == before
    [record] = caplog.records
    said: Any = record.msg
    assert (said["event"], said["kind"], said["of"]) == (
        "config entry refused, the old one stays",
        "service-splitter",
        "sales",
    )


@pytest.mark.parametrize(
    "entry",
    [
        resolver(v_1="Service.Meta.version != 1"),
        resolver(v_1='Service.Meta.version == "1" or Service.Meta.zone == "a"'),
        resolver(v_1=""),
        {**BOTH, "Redirect": {"Service": "search"}},
        {**BOTH, "Failover": {"*": {"Service": "search"}}},
    ],
)
def test_a_subset_that_is_not_understood_is_refused_and_the_old_ones_stay(
    entry: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    splits = Splits()
    splits.take([BOTH], [TENTH])
    with caplog.at_level(logging.ERROR, logger="mesh.control.splits"):
        splits.take([entry], [TENTH])
    assert splits.subsets == {"sales": {"v-1": "1", "v-2": "2"}}
    assert splits.shares["sales"]
    assert len(caplog.records) == 1
