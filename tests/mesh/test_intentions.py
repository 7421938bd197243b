"""Which workload may call which method, by Consul's rules of precedence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.intentions import Intentions, decide, declare, entry, rules
from mesh.registry import Registry, RegistryError

GET, LIST = "/shop.v1.Sales/Get", "/shop.v1.Sales/List"


def allows(entries: list[dict[str, Any]], source: str, path: str = GET, destination: str = "sales") -> bool:
    return decide(rules(entries), source, destination, path)


def test_nothing_is_allowed_that_no_intention_allows() -> None:
    assert not allows([], "edge")
    assert not allows([entry("sales", {"edge": ["*"]})], "other")
    assert not allows([entry("sales", {"edge": ["*"]})], "edge", destination="auth")


def test_a_source_may_call_the_methods_that_are_named() -> None:
    only_get = [entry("sales", {"reports": ["shop.v1.Sales/Get"]})]
    assert allows(only_get, "reports", GET)
    assert not allows(only_get, "reports", LIST)
    assert not allows(only_get, "reports", GET + "More")
    whole_service = [entry("sales", {"reports": ["shop.v1.Sales/*"]})]
    assert allows(whole_service, "reports", LIST)
    assert not allows(whole_service, "reports", "/shop.v1.SalesAdmin/Drop")


def source(name: str, precedence: int, **rule: Any) -> dict[str, Any]:
    return {"Name": name, "Precedence": precedence, "Type": "consul", **rule}


def test_the_most_exact_intention_alone_counts() -> None:
    entries = [
        {"Name": "*", "Sources": [source("*", 5, Action="allow"), source("edge", 6, Action="allow")]},
        {"Name": "sales", "Sources": [source("*", 8, Action="allow"), source("edge", 9, Action="deny")]},
    ]
    assert not allows(entries, "edge")
    assert allows(entries, "other")
    assert allows(entries, "edge", destination="auth")


def test_the_first_permission_that_speaks_of_the_method_decides() -> None:
    permissions = [
        {"Action": "deny", "HTTP": {"PathExact": GET}},
        {"Action": "allow", "HTTP": {"PathPrefix": "/shop.v1."}},
    ]
    entries = [{"Name": "sales", "Sources": [source("edge", 9, Permissions=permissions)]}]
    assert not allows(entries, "edge", GET)
    assert allows(entries, "edge", LIST)
    assert not allows(entries, "edge", "/other.v1.Sales/List")


@pytest.mark.parametrize(
    "http",
    [
        {"PathPrefix": "/", "Header": [{"Name": "x-team", "Exact": "a"}]},
        {"PathRegex": "(unclosed"},
        {"PathPrefix": "/", "Methods": ["GET"]},
    ],
)
def test_what_is_not_understood_allows_nothing(http: dict[str, Any]) -> None:
    entries = [{"Name": "sales", "Sources": [source("edge", 9, Permissions=[{"Action": "allow", "HTTP": http}])]}]
    assert not allows(entries, "edge")


def test_an_intention_of_another_mesh_says_nothing_here() -> None:
    foreign = source("edge", 9, Action="allow") | {"Peer": "other-cluster"}
    assert not allows([{"Name": "sales", "Sources": [foreign]}], "edge")


@pytest.mark.parametrize("method", ["", "Get", "/", "shop.v1.Sales/", "shop.v1.Sales/Get/More", "shop.v1.Sales/G*"])
def test_a_declaration_that_names_no_method_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=r"is not package\.Service/Method"):
        entry("sales", {"edge": [method]})


identifier = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True)
methods = st.tuples(identifier, identifier, identifier).map(lambda parts: f"{parts[0]}.v1.{parts[1]}/{parts[2]}")


@given(st.lists(methods, min_size=1, max_size=5, unique=True), methods)
def test_exactly_the_declared_methods_are_allowed(declared: list[str], asked: str) -> None:
    entries = [entry("sales", {"edge": declared})]
    for method in [*declared, asked]:
        assert allows(entries, "edge", f"/{method}") == (method in declared)


async def test_consul_takes_what_is_declared_and_gives_it_back(consul_address: str) -> None:
    declared = {"declared-one": {"edge": ("*",), "reports": ("shop.v1.Sales/Get", "shop.v1.Stock/*")}}
    async with Registry(consul_address) as registry:
        await declare(registry, declared)
        intentions = Intentions("declared-one")
        assert not intentions.allows("edge", GET)
        await intentions.load(registry)
        assert intentions.allows("edge", LIST)
        assert intentions.allows("reports", GET)
        assert not intentions.allows("reports", LIST)
        assert intentions.allows("reports", "/shop.v1.Stock/Any")
        with pytest.raises(RegistryError, match="Name is required"):
            await registry.put_config({"Kind": "service-intentions", "Name": "declared-one", "Sources": [{"Name": ""}]})
