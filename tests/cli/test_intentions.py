"""`meshctl intentions`: what is in force, what it comes to, and changing it."""

import asyncio
from typing import Any

from mesh.intentions import allowance, amend
from mesh.registry import Registry
from tests.cli.conftest import Project

GET, LIST, RECORD = (f"retail.sales.v1.SalesService/{name}" for name in ("GetSale", "ListSales", "RecordSale"))


def in_force(project: Project) -> dict[tuple[str, str], tuple[list[str], str]]:
    rules: list[dict[str, Any]] = project.told("intentions")["in_force"]
    return {
        (rule["source"], rule["destination"]): (
            [f"{each['action']} {each['methods']}" for each in rule["permissions"]],
            rule["declared"],
        )
        for rule in rules
    }


def may(project: Project, source: str, method: str) -> bool:
    status, printed, said = project.meshctl("intentions", "check", source, method)
    assert said == ""
    assert printed.startswith("allowed: " if status == 0 else "refused: ")
    return status == 0


def test_what_mesh_toml_declares_is_in_force(project: Project) -> None:
    known = in_force(project)
    assert known["edge", "sales"] == (["allow *"], "as declared")
    assert known["demo", "sales"] == ([f"allow {GET}", f"allow {LIST}"], "as declared")
    status, printed, _ = project.meshctl("intentions")
    assert status == 0
    assert "as declared" in printed
    assert may(project, "demo", GET)
    assert not may(project, "demo", RECORD)
    assert not may(project, "unheard-of", GET)


def test_only_what_stands_of_the_source_is_changed(project: Project) -> None:
    assert project.meshctl("intentions", "allow", "reports", "sales", LIST)[0] == 0
    assert may(project, "reports", LIST)
    assert not may(project, "reports", GET)
    assert in_force(project)["edge", "sales"] == (["allow *"], "as declared")
    assert in_force(project)["reports", "sales"] == ([f"allow {LIST}"], "not declared")

    assert project.meshctl("intentions", "allow", "reports", "sales")[0] == 0
    assert may(project, "reports", RECORD)

    assert project.meshctl("intentions", "deny", "reports", "sales")[0] == 0
    assert not may(project, "reports", LIST)
    assert may(project, "demo", LIST)


def test_a_change_of_what_is_declared_is_marked(project: Project) -> None:
    assert project.meshctl("intentions", "deny", "edge", "auth")[0] == 0
    assert in_force(project)["edge", "auth"] == (["deny *"], "declared otherwise")
    assert project.meshctl("intentions", "allow", "edge", "auth")[0] == 0
    assert in_force(project)["edge", "auth"] == (["allow *"], "as declared")


def test_what_is_declared_and_gone_is_named(project: Project) -> None:
    async def remove() -> None:
        async with Registry(project.stack.environment["CONSUL_HTTP_ADDR"]) as registry:
            await registry.delete_config("service-intentions", "auth")

    asyncio.run(remove())
    lost = project.told("intentions")["declared_but_not_in_force"]
    assert [(rule["source"], rule["destination"]) for rule in lost] == [("edge", "auth")]
    assert "declared and not in force: edge -> auth" in project.meshctl("intentions")[2]
    assert project.meshctl("intentions", "allow", "edge", "auth")[0] == 0
    assert project.told("intentions")["declared_but_not_in_force"] == []


def test_the_rule_for_all_sources_counts_for_those_without_one(project: Project) -> None:
    assert project.meshctl("intentions", "allow", "*", "search")[0] == 0
    assert project.meshctl("intentions", "deny", "rogue", "search")[0] == 0
    method = "retail.search.v1.SearchService/SearchProducts"
    assert may(project, "anyone", method)
    assert not may(project, "rogue", method)
    _, printed, _ = project.meshctl("intentions", "check", "anyone", method)
    assert printed == f"allowed: anyone -> search {method}, by the intention * -> search\n"


def test_changes_at_the_same_time_are_all_kept(project: Project) -> None:
    async def changes() -> None:
        async with Registry(project.stack.environment["CONSUL_HTTP_ADDR"]) as registry:
            await asyncio.gather(*(amend(registry, "ingest", allowance(f"team-{n}", ["*"])) for n in range(8)))

    asyncio.run(changes())
    assert {f"team-{n}" for n in range(8)} <= {source for source, to in in_force(project) if to == "ingest"}


def test_mistakes_are_told_apart_from_refusals(project: Project) -> None:
    status, _, said = project.meshctl("intentions", "check", "demo", "retail.sales.v1.SalesService/Nothing")
    assert status == 2
    assert "meshctl policy" in said
    status, _, said = project.meshctl("intentions", "allow", "demo", "sales", "not a method")
    assert (status, said) == (1, "meshctl: 'not a method' is not package.Service/Method, package.Service/* or *\n")
    assert project.meshctl("intentions", "allow", "De/mo", "sales")[0] == 1
    assert may(project, "demo", GET)
