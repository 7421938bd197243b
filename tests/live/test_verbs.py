"""`meshctl live`, `faults` and `split` as an operator uses them, on a real Consul."""

import asyncio
import json
from typing import Any

import pytest

from mesh.live import split
from mesh.live.follow import key
from mesh.live.settings import LiveSettings
from mesh.registry import Registration, Registry
from tests.live.conftest import Operator


def in_consul(operator: Operator, work: Any) -> Any:
    async def connected() -> Any:
        async with Registry(operator.consul_url) as registry:
            return await work(registry)

    return asyncio.run(connected())


def settings(operator: Operator, service: str) -> LiveSettings:
    document = in_consul(operator, lambda registry: registry.get(key(service)))
    return LiveSettings.from_json(document)


def test_settings_are_shown_set_and_unset(operator: Operator, service: str) -> None:
    shown = operator.meshctl("live", service)
    assert shown.status == 0
    assert [line.split() for line in shown.output.splitlines() if line.startswith("retry.max_attempts")] == [
        ["retry.max_attempts", "3", "default"]
    ]

    done = operator.meshctl("live", service, "set", "limits.max_concurrent_calls=50", "log_level=DEBUG")
    assert done.status == 0
    assert f"note: no service is registered as {service}" in done.error
    lines = [line.split() for line in done.output.splitlines()]
    assert ["limits.max_concurrent_calls", "50"] in lines
    assert ["log_level", '"DEBUG"'] in lines
    assert ["limits.max_queued_calls", "64", "default"] in lines

    assert operator.meshctl("live", service, "unset", "log_level").status == 0
    shown = operator.meshctl("live", service, "--json")
    told = json.loads(shown.output)
    assert (told["valid"], told["set"]) == (True, {"limits": {"max_concurrent_calls": 50}})
    assert told["settings"]["log_level"] is None

    assert operator.meshctl("live", service, "unset", "--all").status == 0
    assert settings(operator, service) == LiveSettings()


def test_what_is_wrong_is_not_written(operator: Operator, service: str) -> None:
    operator.quick("live", service, "set", "trace_ratio=0.5")
    done = operator.quick("live", service, "set", "limits.max_concurrent_calls=many", "colour=red", "trace_ratio=1")
    assert (done.status, done.output) == (1, "")
    [line] = done.error.splitlines()
    assert line.startswith(f"meshctl: nothing was changed for {service}: ")
    assert 'limits.max_concurrent_calls: should be a valid integer, not "many"' in line
    assert "colour: there is no such key" in line
    assert settings(operator, service) == LiveSettings(trace_ratio=0.5)


def test_a_document_that_came_another_way_and_is_wrong_is_told_of(operator: Operator, service: str) -> None:
    wrong = '{"trace_ratio": 7, "faults": {"slow": {"delay_seconds": 1}}}'
    in_consul(operator, lambda registry: registry.put(key(service), wrong))
    try:
        shown = operator.quick("live", service)
        assert shown.status == 1
        assert "trace_ratio: should be less than or equal to 1, not 7" in shown.error
        assert json.loads(operator.quick("live", service, "--json").output)["valid"] is False

        listed = operator.quick("faults")
        assert listed.status == 1
        assert f"settings of {service} are refused" in listed.error
        cleared = operator.quick("faults", "clear")
        assert cleared.status == 1
        assert "trace_ratio" in cleared.error

        assert operator.quick("live", service, "unset", "trace_ratio").status == 0
        assert operator.quick("live", service).status == 0
    finally:
        in_consul(operator, lambda registry: registry.put(key(service), "{}"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["live", "sales", "change", "a=1"], "say what to change: set KEY=VALUE..., unset KEY... or unset --all"),
        (["live", "sales", "set"], "say what to change"),
        (["live", "sales", "set", "log_level"], "log_level: should be KEY=VALUE"),
        (["live", "../token-keys"], "'../token-keys' is no name"),
        (["faults", "add", "sales", "slow", "--delay", "soon"], "--delay takes a time as in 200ms, 1.5s or 2min"),
        (["faults", "add", "sales", "idle"], "faults.idle: it does nothing"),
        (["faults", "add", "sales", "some", "--abort", "ABORTED", "--percent", "0"], "percentage: should be greater"),
        (["faults", "add", "sales", "x", "--abort", "OK"], "faults.x.abort: should be"),
        (["faults", "add", "sales", "x", "--abort", "ABORTED", "--header", "k"], "--header takes NAME=VALUE"),
        (["faults", "remove", "sales", "nothing"], "sales has no fault nothing"),
        (["split", "sales", "1=90"], "the weights add up to 90, not to 100"),
        (["split", "sales", "1=90", "1=10"], "version 1 is given twice"),
        (["split", "sales", "1=190", "2=-90"], "190 is no weight"),
        (["split", "sales", "1=nan"], "nan is no weight"),
        (["split", "sales", "1=99.999", "2=0.001"], "at most two decimals"),
        (["split", "sales", "1.0=50", "1-0=50"], "Consul cannot tell these versions apart"),
        (["split", "sales", 'a"b=100'], "is no version"),
        (["split", "sales", "100"], "'100' is not VERSION=PERCENT"),
        (["split", "sales", "1=100", "--clear"], "--clear takes no weights"),
    ],
)
def test_a_mistake_is_one_line(operator: Operator, arguments: list[str], told: str) -> None:
    done = operator.quick(*arguments)
    assert done.status == 1
    assert done.error.startswith("meshctl: ")
    assert told in done.error
    assert len(done.error.splitlines()) == 1


def test_the_switchboard_of_faults(operator: Operator, service: str) -> None:
    other = f"{service}-too"
    assert operator.quick("faults", "add", other, "down", "--abort", "unavailable").status == 0
    added = operator.quick(
        "faults", "add", service, "slow", "--delay", "200ms", "--abort", "INTERNAL", "--percent", "10",
        "--method", "GetSale", "--method", "ListSales", "--caller", "edge", "--header", "X-Tester=ada=1",
    )  # fmt: skip
    assert added.status == 0
    assert settings(operator, service).model_dump(mode="json", exclude_unset=True) == {
        "faults": {
            "slow": {
                "percentage": 10,
                "delay_seconds": 0.2,
                "abort": "INTERNAL",
                "methods": ["GetSale", "ListSales"],
                "callers": ["edge"],
                "headers": {"x-tester": "ada=1"},
            }
        }
    }
    again = operator.quick("faults", "add", service, "slow", "--delay", "1s")
    assert (again.status, f"{service} has a fault slow already" in again.error) == (1, True)

    listed = operator.quick("faults").output
    [line] = [line for line in listed.splitlines() if line.startswith(f"{service} ")]
    for told in (
        "slow", "delay 0.2 s, abort INTERNAL", "10 %", "method GetSale or ListSales, caller edge, header x-tester=ada=1"
    ):  # fmt: skip
        assert told in line
    faults = json.loads(operator.quick("faults", "--json").output)
    assert {(fault["service"], fault["name"]) for fault in faults} >= {(service, "slow"), (other, "down")}
    assert "faults.slow" in operator.quick("live", service).output

    assert operator.quick("faults", "remove", service, "slow").status == 0
    assert settings(operator, service) == LiveSettings()
    operator.quick("live", other, "set", "trace_ratio=0.5")
    assert operator.quick("faults", "clear").status == 0
    assert settings(operator, other) == LiveSettings(trace_ratio=0.5)
    assert "no fault is injected" in operator.quick("faults").error


def test_a_split_is_set_changed_and_cleared(operator: Operator, service: str) -> None:
    def entry(kind: str) -> Any:
        entries = in_consul(operator, lambda registry: registry.config(kind))
        return next((entry for entry in entries if entry["Name"] == service), None)

    async def register(registry: Registry) -> None:
        # Its check fails from now on, and until then it counts as healthy.
        await registry.register(Registration(service, f"{service}-1", "127.0.0.1", 1, 1, {"version": "1.2.0"}))

    assert f"{service} is not divided" in operator.quick("split", service).error
    in_consul(operator, register)
    done = operator.quick("split", service, "1.2.0=90.5", "1.3.0-rc=9.5%")
    assert done.status == 0
    assert "warning: no healthy instance runs version 1.3.0-rc: the others get its 9.5 %" in done.error
    assert entry("service-splitter")["Splits"] == [
        {"Weight": 90.5, "ServiceSubset": "v-1-2-0"},
        {"Weight": 9.5, "ServiceSubset": "v-1-3-0-rc"},
    ]
    assert entry("service-resolver")["Subsets"] == {
        "v-1-2-0": {"Filter": 'Service.Meta.version == "1.2.0"'},
        "v-1-3-0-rc": {"Filter": 'Service.Meta.version == "1.3.0-rc"'},
    }
    shown = json.loads(operator.quick("split", service, "--json").output)
    assert {row["version"]: row["percent"] for row in shown["versions"]} == {"1.2.0": 90.5, "1.3.0-rc": 9.5}

    assert operator.quick("split", service, "2=100").status == 0
    assert in_consul(operator, lambda registry: split.read(registry, service)) == {"2": 100.0}
    assert operator.quick("split", service, "--clear").status == 0
    assert (entry("service-splitter"), entry("service-resolver")) == (None, None)
    assert operator.quick("split", service, "--clear").status == 0
    in_consul(operator, lambda registry: registry.deregister(f"{service}-1"))


def test_what_others_keep_in_the_resolver_stays(operator: Operator, service: str) -> None:
    theirs = {"Kind": "service-resolver", "Name": service, "ConnectTimeout": "3s", "Subsets": {"blue": {"Filter": ""}}}
    in_consul(operator, lambda registry: registry.put_config(theirs))
    assert operator.quick("split", service, "1=100").status == 0
    assert operator.quick("split", service, "--clear").status == 0
    entries = in_consul(operator, lambda registry: registry.config("service-resolver"))
    [left] = [entry for entry in entries if entry["Name"] == service]
    assert (left["ConnectTimeout"], left["Subsets"].keys()) == ("3s", {"blue"})


def test_consul_away_is_said_in_one_line(operator: Operator) -> None:
    with operator.consul_away():
        done = operator.quick("live", "sales")
    assert done.status == 1
    assert done.error.startswith("meshctl: Consul at ")
    assert len(done.error.splitlines()) == 1
