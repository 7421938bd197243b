"""The protocol, as a subscriber that speaks it by hand sees it: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.background import background
from mesh.control.ads import Ads
from mesh.control.packing import CLUSTER, ENDPOINTS, LISTENER, ROUTE, packed
from mesh.control.resources import Resources, resources
from mesh.control.snapshot import Snapshot
from mesh.control.view import Kind, View
from mesh.registry import Instance
from tests.eventually import eventually

MESSAGES = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    LISTENER: listener_pb2.Listener,
    ROUTE: route_pb2.RouteConfiguration,
}


Views = Callable[[View], Resources]
TYPES = (CLUSTER, ENDPOINTS, LISTENER, ROUTE)


def known(**ports: Iterable[int]) -> Views:
    """The resources of services with an instance on each port; the edge has one listener, `edge`."""
    services = {
        name: tuple(Instance(name, f"{name}-{port}", "127.0.0.1", port) for port in of) for name, of in ports.items()
    }
    edge = [packed("envoy.config.listener.v3.Listener", {"name": "edge"})]
    return partial(resources, Snapshot(services), edge=lambda _: edge)


class Subscriber:
    """One stream. Responses come in order, so that what comes next also says what did not come before."""

    def __init__(self, channel: grpc.aio.Channel, kind: Kind = Kind.GRPC, zone: str = "") -> None:
        self._node = {"id": "by-hand", "user_agent_name": kind.value, "locality": {"zone": zone}}
        self._call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
        self._writing = asyncio.Lock()

    async def ask(self, type_url: str, *names: str, answer_to: Any = None, refused: str = "") -> None:
        """Subscribes to exactly these names; with `answer_to` it is an ACK as well, or a NACK if `refused`."""
        request = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, node=self._node)
        if answer_to is not None:
            request.response_nonce = answer_to.nonce
            request.version_info = answer_to.version_info
        if refused:
            request.error_detail.message = refused
        async with self._writing:
            await self._call.write(request)

    async def take(self, type_url: str) -> Any:
        """The next response, which must be of this type."""
        response = await asyncio.wait_for(self._call.read(), 5)
        assert response.type_url == type_url
        assert response.nonce
        return response

    async def subscribed(self, type_url: str, *names: str) -> Any:
        """Subscribes, takes the response and acknowledges it."""
        await self.ask(type_url, *names)
        response = await self.take(type_url)
        await self.ask(type_url, *names, answer_to=response)
        return response

    def leave(self) -> None:
        self._call.cancel()


def names(packed: Iterable[Any]) -> set[str]:
    """Names of resources."""
    found = set()
    for each in packed:
        message = MESSAGES[each.type_url].FromString(each.value)
        found.add(message.cluster_name if each.type_url == ENDPOINTS else message.name)
    return found


@pytest.fixture
async def ads() -> Ads:
    return Ads()


@pytest.fixture
async def channel(ads: Ads) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
async def subscriber(channel: grpc.aio.Channel) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(channel)
    yield subscriber
    subscriber.leave()


@pytest.fixture
async def envoy(channel: grpc.aio.Channel) -> AsyncIterator[Subscriber]:
    envoy = Subscriber(channel, Kind.ENVOY)
    yield envoy
    envoy.leave()


async def test_a_subscriber_gets_what_it_names(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    for type_url in TYPES:
        assert names((await subscriber.subscribed(type_url, "sales")).resources) == {"sales"}


async def test_envoy_asks_for_all_and_gets_every_cluster_and_the_listeners_of_the_edge(
    ads: Ads, envoy: Subscriber
) -> None:
    ads.publish(known(sales=[1], search=[2]))
    assert names((await envoy.subscribed(CLUSTER)).resources) == {"sales", "search"}
    assert names((await envoy.subscribed(LISTENER, "*")).resources) == {"edge"}
    await envoy.ask(LISTENER, "*", "sales")  # all, and one by name: stale by its nonce, so
    await envoy.ask(ENDPOINTS, "sales")  # this one is answered next
    assert names((await envoy.take(ENDPOINTS)).resources) == {"sales"}

    ads.publish(known(sales=[1], search=[2], auth=[3]))
    assert names((await envoy.take(CLUSTER)).resources) == {"sales", "search", "auth"}


async def test_all_and_one_by_name(ads: Ads, envoy: Subscriber) -> None:
    ads.publish(known(sales=[1]))
    await envoy.ask(LISTENER, "*", "sales")
    assert names((await envoy.take(LISTENER)).resources) == {"edge"}


async def test_who_comes_before_anything_is_known_waits_for_it(ads: Ads, subscriber: Subscriber) -> None:
    await subscriber.ask(CLUSTER)
    ads.publish(known(sales=[1]))
    assert names((await subscriber.take(CLUSTER)).resources) == {"sales"}


async def test_only_what_changed_is_sent(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    await subscriber.subscribed(CLUSTER)
    await subscriber.subscribed(ENDPOINTS, "sales", "search")
    ads.publish(known(sales=[1], search=[2, 3]))
    changed = await subscriber.take(ENDPOINTS)
    assert names(changed.resources) == {"search"}
    [packed] = changed.resources
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(packed.value)
    assert [each.endpoint.address.socket_address.port_value for each in assignment.endpoints[0].lb_endpoints] == [2, 3]

    await subscriber.ask(ENDPOINTS, "sales", "search", answer_to=changed)
    ads.publish(known(sales=[1], search=[2, 3]))  # nothing at all
    ads.publish(known(sales=[4], search=[2, 3]))
    assert names((await subscriber.take(ENDPOINTS)).resources) == {"sales"}


async def test_of_many_services_each_subscriber_gets_the_one_that_changed(ads: Ads, channel: grpc.aio.Channel) -> None:
    services = {f"s{number}": range(1, 21) for number in range(50)}
    ads.publish(known(**services))
    subscribers = [Subscriber(channel) for _ in range(20)]
    for subscriber in subscribers:
        for type_url in TYPES:
            await subscriber.subscribed(type_url, *services)
    for changed in ("s7", "s9"):
        services[changed] = range(1, 20)
        ads.publish(known(**services))
        for subscriber in subscribers:
            response = await subscriber.take(ENDPOINTS)
            assert names(response.resources) == {changed}
            assert response.ByteSize() < 2000  # of one service with 19 endpoints, not of fifty
            await subscriber.ask(ENDPOINTS, *services, answer_to=response)
    for subscriber in subscribers:
        subscriber.leave()


async def test_a_change_is_sent_clusters_first_then_endpoints_listeners_and_routes(
    ads: Ads, subscriber: Subscriber
) -> None:
    ads.publish(known())
    for type_url in (ROUTE, LISTENER, ENDPOINTS):
        await subscriber.ask(type_url, "sales")
    assert names((await subscriber.take(LISTENER)).resources) == set()
    await subscriber.subscribed(CLUSTER, "sales")
    ads.publish(known(sales=[1]))
    for type_url in (CLUSTER, ENDPOINTS, LISTENER, ROUTE):
        assert names((await subscriber.take(type_url)).resources) == {"sales"}


async def test_what_is_gone_is_left_out_of_the_next_response(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    await subscriber.subscribed(CLUSTER)
    ads.publish(known(search=[2]))
    assert names((await subscriber.take(CLUSTER)).resources) == {"search"}


async def test_a_changed_cluster_is_followed_by_its_endpoints_unchanged(ads: Ads, envoy: Subscriber) -> None:
    """Envoy takes it into use only then."""
    before = known(sales=[1], search=[2])(View(Kind.ENVOY))
    ads.publish(lambda _: before)
    await envoy.subscribed(CLUSTER)
    await envoy.subscribed(ENDPOINTS, "sales", "search")
    clusters = before.by_type[CLUSTER]
    changed = {**clusters, "sales": replace(clusters["sales"], version="changed")}
    after = replace(before, by_type={**before.by_type, CLUSTER: changed})
    ads.publish(lambda _: after)
    assert names((await envoy.take(CLUSTER)).resources) == {"sales", "search"}
    assert names((await envoy.take(ENDPOINTS)).resources) == {"sales"}


async def test_a_refusal_is_logged_and_what_was_refused_stays_away_until_it_changes(
    ads: Ads, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    ads.publish(known(sales=[1], search=[2]))
    await subscriber.ask(ENDPOINTS, "sales", "search")
    refused = await subscriber.take(ENDPOINTS)
    with caplog.at_level(logging.ERROR, logger="mesh.control.ads"):
        await subscriber.ask(ENDPOINTS, "sales", "search", answer_to=refused, refused="weight is missing")
        await subscriber.subscribed(ROUTE, "sales")
    [record] = caplog.records
    said: Any = record.msg
    assert said["event"] == "subscriber refused resources"
    assert said["node"] == "by-hand"
    assert said["type"] == ENDPOINTS
    assert said["resources"] == ["sales", "search"]
    assert said["problem"] == "weight is missing"

    ads.publish(known(sales=[1], search=[2, 3]))
    assert names((await subscriber.take(ENDPOINTS)).resources) == {"search"}


def versioned(version: str, **ports: Iterable[int]) -> Views:
    """As `known`, and each cluster is of this version."""

    def made(view: View) -> Resources:
        found = known(**ports)(view)
        clusters = {name: replace(each, version=version) for name, each in found.by_type[CLUSTER].items()}
        return replace(found, by_type={**found.by_type, CLUSTER: clusters})

    return made


async def test_a_refusal_of_one_keeps_no_other_back(ads: Ads, subscriber: Subscriber) -> None:
    """Of what is sent by what changed, the others come again, without the one that is named."""
    ads.publish(known(sales=[1], search=[2], auth=[3]))
    await subscriber.subscribed(ENDPOINTS, "sales", "search", "auth")
    ads.publish(known(sales=[4], search=[5], auth=[3]))
    both = await subscriber.take(ENDPOINTS)
    assert names(both.resources) == {"sales", "search"}
    await subscriber.ask(ENDPOINTS, "sales", "search", "auth", answer_to=both, refused="sales: weight is missing")
    again = await subscriber.take(ENDPOINTS)
    assert names(again.resources) == {"search"}
    await subscriber.ask(ENDPOINTS, "sales", "search", "auth", answer_to=again)
    await subscriber.subscribed(ROUTE, "sales")

    [told] = ads.subscribers()
    found = told["types"]["ClusterLoadAssignment"]
    assert found["search"]["acknowledged"] == found["search"]["current"]
    assert found["sales"]["refused"] == {"version": found["sales"]["current"], "problem": "sales: weight is missing"}
    assert found["sales"]["acknowledged"] not in {None, found["sales"]["current"]}

    ads.publish(known(sales=[6], search=[5], auth=[3]))
    assert names((await subscriber.take(ENDPOINTS)).resources) == {"sales"}


async def test_what_was_refused_is_replaced_by_what_was_taken_before(ads: Ads, subscriber: Subscriber) -> None:
    """Where a response must be whole, leaving it out would take it away."""
    first, second = versioned("one", sales=[1]), versioned("two", sales=[1], search=[2])
    ads.publish(first)
    await subscriber.subscribed(CLUSTER, "sales", "search")
    ads.publish(second)
    both = await subscriber.take(CLUSTER)
    assert names(both.resources) == {"sales", "search"}
    await subscriber.ask(CLUSTER, "sales", "search", answer_to=both, refused="cluster sales is odd")
    again = await subscriber.take(CLUSTER)
    assert names(again.resources) == {"sales", "search"}
    await subscriber.ask(CLUSTER, "sales", "search", answer_to=again)
    await subscriber.subscribed(ROUTE, "sales")
    [told] = ads.subscribers()
    assert told["types"]["Cluster"] == {
        "sales": {
            "current": "two",
            "acknowledged": "one",
            "refused": {"version": "two", "problem": "cluster sales is odd"},
        },
        "search": {"current": "two", "acknowledged": "two", "refused": None},
    }


async def test_a_refusal_that_comes_late_is_of_what_it_answers(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    first = await subscriber.subscribed(ENDPOINTS, "sales", "search")
    ads.publish(known(sales=[3], search=[2]))
    second = await subscriber.take(ENDPOINTS)
    ads.publish(known(sales=[3], search=[4]))
    third = await subscriber.take(ENDPOINTS)
    await subscriber.ask(ENDPOINTS, "sales", "search", answer_to=second, refused="no")
    await subscriber.ask(ENDPOINTS, "sales", "search", answer_to=third)
    await subscriber.subscribed(ROUTE, "sales")
    [told] = ads.subscribers()
    found = told["types"]["ClusterLoadAssignment"]
    assert found["sales"]["refused"]["problem"] == "no"
    assert found["search"]["acknowledged"] == found["search"]["current"]
    assert first.version_info != second.version_info != third.version_info


async def test_what_is_gone_is_dropped_only_after_what_leads_elsewhere(ads: Ads, envoy: Subscriber) -> None:
    ads.publish(known(sales=[1]))
    for type_url, *wanted in ((CLUSTER,), (ENDPOINTS, "sales")):
        await envoy.subscribed(type_url, *wanted)
    ads.publish(known(search=[2]))
    assert names((await envoy.take(CLUSTER)).resources) == {"sales", "search"}
    assert names((await envoy.take(CLUSTER)).resources) == {"search"}


async def test_two_control_planes_give_the_same_versions(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    first = await subscriber.subscribed(ENDPOINTS, "sales")
    ads.publish(known(search=[2], sales=[5]))
    await subscriber.take(ENDPOINTS)
    ads.publish(known(search=[2], sales=[1]))
    assert (await subscriber.take(ENDPOINTS)).version_info == first.version_info


async def test_each_zone_is_shown_its_own_priorities(ads: Ads, channel: grpc.aio.Channel) -> None:
    zones = tuple(Instance("sales", zone, "127.0.0.1", 1, (("zone", zone),)) for zone in ("a", "b"))
    ads.publish(partial(resources, Snapshot({"sales": zones})))
    for zone in ("a", "b"):
        subscriber = Subscriber(channel, zone=zone)
        [packed] = (await subscriber.subscribed(ENDPOINTS, "sales")).resources
        found = endpoint_pb2.ClusterLoadAssignment.FromString(packed.value).endpoints
        assert {each.locality.zone for each in found if each.priority == 0} == {zone}
        subscriber.leave()


async def test_an_answer_to_an_older_response_changes_nothing(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    first = await subscriber.subscribed(ENDPOINTS, "sales")
    ads.publish(known(sales=[3], search=[2]))
    await subscriber.take(ENDPOINTS)
    await subscriber.ask(ENDPOINTS, "sales", "search", answer_to=first)
    await subscriber.ask(ROUTE, "sales")
    await subscriber.take(ROUTE)


async def test_what_is_wanted_again_is_sent_again(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    both = await subscriber.subscribed(ENDPOINTS, "sales", "search")
    await subscriber.ask(ENDPOINTS, "sales", answer_to=both)
    await subscriber.ask(ENDPOINTS, "sales", "search", answer_to=both)
    assert names((await subscriber.take(ENDPOINTS)).resources) == {"search"}


async def test_who_wants_nothing_any_more_is_not_taken_for_one_who_wants_all(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1], search=[2]))
    response = await subscriber.subscribed(CLUSTER, "sales")
    for _ in range(2):
        await subscriber.ask(CLUSTER, answer_to=response)
    await subscriber.ask(ENDPOINTS, "sales")
    await subscriber.take(ENDPOINTS)


async def test_a_name_that_is_unknown_is_said_to_be_so_at_once(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1]))
    response = await subscriber.subscribed(LISTENER, "sales")
    await subscriber.ask(LISTENER, "sales", "sails", answer_to=response)
    response = await subscriber.take(LISTENER)
    assert names(response.resources) == {"sales"}
    await subscriber.ask(LISTENER, "sales", "sails", answer_to=response)
    await subscriber.ask(ROUTE, "sales")  # and it is said once
    await subscriber.take(ROUTE)


async def test_a_nonce_of_another_stream_is_of_no_account(ads: Ads, subscriber: Subscriber) -> None:
    ads.publish(known(sales=[1]))
    former = discovery_pb2.DiscoveryResponse(nonce="7", version_info="old")
    await subscriber.ask(CLUSTER, "sales", answer_to=former)
    assert names((await subscriber.take(CLUSTER)).resources) == {"sales"}


NAMES = ("sales", "search", "auth")
SERVICES = st.dictionaries(st.sampled_from(NAMES), st.lists(st.integers(1, 9), max_size=2), max_size=3)
WANTS = st.tuples(st.sampled_from(TYPES), st.frozensets(st.sampled_from(NAMES), min_size=1))


class Client(Subscriber):
    """Holds what it is told, and acknowledges it, as the protocol has a client do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.wanted: dict[str, frozenset[str]] = {}
        self.held: dict[str, dict[str, bytes]] = {}
        self._last: dict[str, Any] = {}

    async def want(self, type_url: str, wanted: frozenset[str]) -> None:
        self.wanted[type_url] = wanted
        held = self.held.setdefault(type_url, {})
        for name in held.keys() - wanted:
            del held[name]
        await self.ask(type_url, *sorted(wanted), answer_to=self._last.get(type_url))

    async def follow(self) -> None:
        while True:
            response = await self._call.read()
            type_url = response.type_url
            self._last[type_url] = response
            if type_url in {CLUSTER, LISTENER}:
                self.held[type_url] = {}
            for each in response.resources:
                [name] = names([each])
                if name in self.wanted[type_url]:
                    self.held[type_url][name] = each.value
            await self.ask(type_url, *sorted(self.wanted[type_url]), answer_to=response)

    def is_current(self, current: Resources) -> bool:
        return all(
            self.held[type_url].get(name) == current.by_type[type_url][name].packed.value
            if name in current.by_type[type_url]
            else type_url in {ENDPOINTS, ROUTE} or name not in self.held[type_url]
            for type_url, wanted in self.wanted.items()
            for name in wanted
        )


@given(steps=st.lists(SERVICES | WANTS, max_size=12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_happens_a_client_ends_with_what_is_current(
    ads: Ads, channel: grpc.aio.Channel, steps: list[Any]
) -> None:
    client, views = Client(channel), known()
    current = views(View())
    ads.publish(views)
    async with background(client.follow(), "client"):
        for step in steps:
            if isinstance(step, dict):
                views = known(**step)
                ads.publish(views)
                current = views(View())
            else:
                await client.want(*step)

        async def settled() -> bool:
            return client.is_current(current)

        await eventually(settled, timeout=5, interval=0.002)
    client.leave()
