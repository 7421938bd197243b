"""`meshctl endpoints`, `routes`, `subscribers`, `config-dump`: what a control plane believes and who has taken it."""

import http.client
import json
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from mesh.cli.consul import show, with_consul
from mesh.local import LocalError
from mesh.registry import Instance, Registry

_ADMIN = "admin_port"
_SHOWN = ("node", "kind", "zone", "since")
_ENDPOINTS, _ROUTES = "ClusterLoadAssignment", "RouteConfiguration"

Control = Annotated[str, typer.Option("--control", metavar="INSTANCE", help="Ask this one; by default the first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Service = Annotated[str, typer.Argument(metavar="[SERVICE]", help="Only this service.")]


def endpoints(context: typer.Context, service: Service = "", control: Control = "", as_json: AsJson = False) -> None:
    """Show the instances that the control plane believes in, and which subscribers have not taken them (yet)."""
    plane = _Plane(context, control)
    believed = plane.get("/")
    services = (believed.get("snapshot") or {"services": {}})["services"]
    found = {name: services[name] for name in sorted(services) if service in {"", name}}
    if service and not found:
        raise LocalError(f"{plane.name} knows no service {service}; there are {', '.join(sorted(services))}")
    behind = {name: _behind(believed["subscribers"], name) for name in found}
    if as_json:
        told = {name: {"instances": found[name], "behind": behind[name]} for name in found}
        typer.echo(json.dumps({"control": plane.name, "version": believed["version"], "services": told}, indent=2))
        return
    rows: list[tuple[str, ...]] = []
    for name, instances in found.items():
        late = ", ".join(behind[name])
        rows += [_endpoint(name, each, late) for each in instances] or [(name, "none is healthy", "", "", "", late)]
    show(("SERVICE", "INSTANCE", "ADDRESS", "ZONE", "VERSION", "NOT TAKEN BY"), rows)


def _endpoint(service: str, instance: Mapping[str, Any], late: str) -> tuple[str, ...]:
    meta = dict(instance["meta"])
    address = f"{instance['host']}:{instance['port']}"
    return service, instance["id"], address, meta.get("zone", ""), meta.get("version", ""), late


def _behind(subscribers: Iterable[Mapping[str, Any]], service: str) -> list[str]:
    """The subscribers whose endpoints of a service are not the current ones; `!` after one that refused them."""
    found = []
    for each in subscribers:
        state = each["types"].get(_ENDPOINTS, {}).get(service)
        if state and state["acknowledged"] != state["current"]:
            found.append(each["node"] + ("!" if state["refused"] else ""))
    return found


def routes(
    context: typer.Context,
    service: Service = "",
    edge: Annotated[bool, typer.Option("--edge", help="Those of the edge; by default those of gRPC clients.")] = False,
    control: Control = "",
    as_json: AsJson = False,
) -> None:
    """Show where calls go: shares of versions, time limits and what is tried again.

    A method's own deadline and retries stand in its contract: meshctl policy.
    """
    plane = _Plane(context, control)
    shown = plane.get("/resources", kind="envoy" if edge else "grpc")[_ROUTES]
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    rows = []
    for name in sorted(shown):
        for host in shown[name]["virtual_hosts"]:
            rows += [(name, *_route(each)) for each in host["routes"]]
    if service:
        rows = [row for row in rows if service == row[0] or service in {_cluster(part) for part in row[2].split(", ")}]
        if not rows:
            raise LocalError(f"{plane.name} has no route to {service}; meshctl endpoints shows what it knows")
    show(("ROUTES", "CALLS", "GO TO", "LIMIT", "TRIED AGAIN ON"), rows)


def _cluster(destination: str) -> str:
    """`sales` of `sales/v-2 10 %`."""
    return destination.partition(" ")[0].partition("/")[0]


def _route(route: Mapping[str, Any]) -> tuple[str, str, str, str]:
    match, action = route["match"], route.get("route", {})
    calls = match.get("path") or f"{match.get('prefix', '')}*"
    for header in match.get("headers", ()):
        calls += f" ({header['name']}{' absent' if header.get('present_match') is False else ' malformed'})"
    if "direct_response" in route:
        return calls, f"answered {route['direct_response']['status']}", "", ""
    limit = action.get("timeout", "0s")
    retry = action.get("retry_policy", {}).get("retry_on", "")
    return calls, _destination(action), "" if limit == "0s" else limit, retry.replace(",", ", ")


def _destination(action: Mapping[str, Any]) -> str:
    if "cluster" in action:
        return str(action["cluster"])
    shares = action["weighted_clusters"]["clusters"]
    total = sum(share["weight"] for share in shares)
    return ", ".join(f"{share['name']} {share['weight'] * 100 / total:g} %" for share in shares)


def subscribers(context: typer.Context, control: Control = "", as_json: AsJson = False) -> None:
    """Show who follows the control plane, and what of its resources each has taken, not yet taken and refused.

    A subscriber that refuses something goes on with what it had; so does one that has lost its control plane.

    Exit status: 1 something that is current is refused.
    """
    plane = _Plane(context, control)
    rows, refused = [], False
    for each in plane.get("/")["subscribers"]:
        states = [(kind, name, state) for kind, known in each["types"].items() for name, state in known.items()]
        settled = sum(state["acknowledged"] == state["current"] for _, _, state in states)
        problems = [
            {"type": kind, "resource": name, "problem": state["refused"]["problem"]}
            for kind, name, state in states
            if state["refused"]
        ]
        refused |= bool(problems)
        rows.append({**{key: each[key] for key in _SHOWN}, "taken": settled, "of": len(states), "refused": problems})
    if as_json:
        typer.echo(json.dumps({"control": plane.name, "subscribers": rows}, indent=2))
    else:
        table = [
            (*(str(row[key]) for key in _SHOWN), f"{row['taken']} of {row['of']}", _refused(row["refused"]))
            for row in rows
        ]
        show(("SUBSCRIBER", "KIND", "ZONE", "SINCE", "TAKEN", "REFUSED"), table)
    if refused:
        raise typer.Exit(1)


def _refused(problems: Iterable[Mapping[str, str]]) -> str:
    return "; ".join(f"{each['type']} {each['resource']}: {each['problem']}" for each in problems)


def config_dump(
    context: typer.Context,
    subscriber: Annotated[str, typer.Argument(metavar="[NODE]", help="Only this subscriber, as auth-1.")] = "",
    full: Annotated[bool, typer.Option("--full", help="With the content of each resource.")] = False,
    control: Control = "",
) -> None:
    """Print as JSON what the control plane believes, and what each subscriber has taken and refused of it."""
    plane = _Plane(context, control)
    believed = plane.get("/")
    found = [each for each in believed["subscribers"] if subscriber in {"", each["node"]}]
    if subscriber and not found:
        known = sorted({each["node"] for each in believed["subscribers"]})
        raise LocalError(f"{plane.name} has no subscriber {subscriber}; there are {', '.join(known) or 'none'}")
    for each in found:
        content = plane.get("/resources", kind=each["kind"], zone=each["zone"]) if full else {}
        for kind, resources in each["types"].items():
            for name, state in resources.items():
                state["current_is_taken"] = state["acknowledged"] == state["current"]
                if full:
                    state["content"] = content.get(kind, {}).get(name)
    typer.echo(json.dumps({"control": plane.name, **believed, "subscribers": found}, indent=2))


class _Plane:
    """A control plane of the running stack, found in Consul."""

    def __init__(self, context: typer.Context, wanted: str) -> None:
        async def registered(registry: Registry) -> tuple[Instance, ...]:
            return await registry.healthy("control")

        planes = {each.id: each for each in with_consul(context, registered) if _ADMIN in dict(each.meta)}
        self.name = wanted or min(planes, default="")
        if self.name not in planes:
            raise LocalError(
                f"no control plane {self.name}; there are {', '.join(sorted(planes))}"
                if planes
                else "no control plane is registered in Consul"
            )
        self._base = f"http://{planes[self.name].host}:{dict(planes[self.name].meta)[_ADMIN]}"

    def get(self, path: str, **query: str) -> Any:
        url = f"{self._base}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - the address is Consul's
                return json.load(response)
        except (OSError, ValueError, http.client.HTTPException) as problem:
            raise LocalError(f"{self.name} does not answer at {self._base}: {problem}") from problem
