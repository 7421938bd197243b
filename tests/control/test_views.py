"""What subscribers of each kind, in each zone, are shown of a snapshot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.control.clusters import destination, weights
from mesh.control.packing import CLUSTER, ENDPOINTS, LISTENER, ROUTE, SECRET
from mesh.control.resources import Resources, resources
from mesh.control.snapshot import Share, Snapshot, Trust
from mesh.control.view import Kind, View
from mesh.control.watch import reachable
from mesh.registry import Instance
from mesh.token_keys import Published

TRUST = Trust("11111111-2222.consul", "dc1")
SALES_ID = "spiffe://11111111-2222.consul/ns/default/dc/dc1/svc/sales"


def instance(number: int, **meta: str) -> Instance:
    return Instance("sales", f"sales-{number}", "127.0.0.1", number, tuple(sorted(meta.items())))


def shown(resources: Resources, type_url: str, name: str) -> dict[str, Any]:
    return resources.by_type[type_url][name].as_json()


def socket(resources: Resources) -> dict[str, Any]:
    found: dict[str, Any] = shown(resources, CLUSTER, "sales")["transport_socket"]["typed_config"]["common_tls_context"]
    return found


def test_grpc_believes_only_the_spiffe_id_of_the_service_and_gets_no_secret() -> None:
    found = resources(Snapshot({"sales": ()}, trust=TRUST), View(), identity=Path("/identity/edge"))
    assert socket(found) == {
        "tls_certificate_provider_instance": {"instance_name": "mesh"},
        "validation_context": {
            "ca_certificate_provider_instance": {"instance_name": "mesh"},
            "match_subject_alt_names": [{"exact": SALES_ID}],
        },
    }
    assert found.by_type[SECRET] == {}
    assert set(found.by_type[LISTENER]) == set(found.by_type[ROUTE]) == {"sales"}


def test_envoy_believes_only_the_spiffe_id_of_the_service_and_is_told_of_files_only() -> None:
    found = resources(Snapshot({"sales": ()}, trust=TRUST), View(Kind.ENVOY), identity=Path("/identity/edge"))
    validation = socket(found)["combined_validation_context"]
    assert validation["default_validation_context"] == {
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": SALES_ID}}]
    }
    assert validation["validation_context_sds_secret_config"]["name"] == "roots"
    assert [each["name"] for each in socket(found)["tls_certificate_sds_secret_configs"]] == ["identity"]
    assert shown(found, SECRET, "identity") == {
        "@type": SECRET,
        "name": "identity",
        "tls_certificate": {
            "certificate_chain": {"filename": "/identity/edge/current/cert.pem"},
            "private_key": {"filename": "/identity/edge/current/key.pem"},
            "watched_directory": {"path": "/identity/edge"},
        },
    }
    assert shown(found, SECRET, "roots")["validation_context"]["trusted_ca"] == {
        "filename": "/identity/edge/current/roots.pem"
    }
    assert found.by_type[LISTENER] == found.by_type[ROUTE] == {}


def groups(zone: str, *instances: Instance) -> list[tuple[str, int, list[int]]]:
    """The zone, priority and ports of each group that a subscriber in `zone` is shown."""
    found = shown(resources(Snapshot({"sales": instances}), View(zone=zone)), ENDPOINTS, "sales")
    for group in found.get("endpoints", ()):
        assert group["load_balancing_weight"] == len(group["lb_endpoints"])
    return [
        (
            group["locality"]["zone"],
            group.get("priority", 0),
            [each["endpoint"]["address"]["socket_address"]["port_value"] for each in group["lb_endpoints"]],
        )
        for group in found.get("endpoints", ())
    ]


def test_the_zone_of_the_subscriber_comes_first() -> None:
    here, there, nowhere = instance(1, zone="a"), instance(2, zone="b"), instance(3)
    both = (here, there, nowhere)
    assert groups("a", *both) == [("local", 1, [3]), ("a", 0, [1]), ("b", 1, [2])]
    assert groups("b", *both) == [("local", 1, [3]), ("a", 1, [1]), ("b", 0, [2])]
    assert groups("", *both) == [("local", 0, [3]), ("a", 0, [1]), ("b", 0, [2])]


@given(zone=st.sampled_from(["", "a", "b"]), zones=st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=6))
def test_every_instance_is_shown_once_and_priorities_have_no_gap(zone: str, zones: list[str]) -> None:
    found = groups(zone, *(instance(number, zone=where) for number, where in enumerate(zones, 1)))
    assert sorted(port for _, _, ports in found for port in ports) == list(range(1, len(zones) + 1))
    assert {priority for _, priority, _ in found} in ({0, 1}, {0}, set())


SUBSETS = {"sales": {"v-1": "1", "v-2": "2"}}


def divided(*shares: Share, versions: str) -> dict[str, Any]:
    instances = tuple(instance(number, version=version) for number, version in enumerate(versions, 1))
    snapshot = Snapshot({"sales": instances}, subsets=SUBSETS, splits={"sales": shares})
    return destination(weights(snapshot, "sales"))


def test_a_split_goes_to_the_clusters_of_its_subsets() -> None:
    tenth = (Share("v-1", 90_00), Share("v-2", 10_00))
    assert divided(*tenth, versions="12") == {
        "weighted_clusters": {
            "clusters": [{"name": "sales/v-1", "weight": 90_00}, {"name": "sales/v-2", "weight": 10_00}]
        }
    }
    assert divided(Share("", 90_00), Share("v-2", 10_00), versions="12")["weighted_clusters"]["clusters"] == [
        {"name": "sales", "weight": 90_00},
        {"name": "sales/v-2", "weight": 10_00},
    ]


@pytest.mark.parametrize(
    ("versions", "cluster"), [("11", "sales/v-1"), ("2", "sales/v-2"), ("3", "sales"), ("", "sales")]
)
def test_a_share_of_nobody_goes_to_the_others(versions: str, cluster: str) -> None:
    assert divided(Share("v-1", 90_00), Share("v-2", 10_00), versions=versions) == {"cluster": cluster}


@pytest.mark.parametrize("kind", Kind)
def test_a_subset_has_a_cluster_of_its_instances_with_the_identity_of_the_service(kind: Kind) -> None:
    instances = (instance(1, version="1"), instance(2, version="2"))
    found = resources(Snapshot({"sales": instances}, trust=TRUST, subsets=SUBSETS), View(kind))
    assert set(found.by_type[CLUSTER]) == set(found.by_type[ENDPOINTS]) == {"sales", "sales/v-1", "sales/v-2"}
    [group] = shown(found, ENDPOINTS, "sales/v-2")["endpoints"]
    assert len(group["lb_endpoints"]) == 1
    assert shown(found, CLUSTER, "sales/v-2")["transport_socket"] == shown(found, CLUSTER, "sales")["transport_socket"]


def test_what_is_the_same_has_the_same_version_and_what_is_not_another() -> None:
    def versions(snapshot: Snapshot, view: View) -> dict[str, dict[str, str]]:
        by_type = resources(snapshot, view).by_type
        return {type_url: {name: each.version for name, each in found.items()} for type_url, found in by_type.items()}

    first = Snapshot({"sales": (instance(1),), "search": ()}, trust=TRUST)
    second = replace(first, services=first.services | {"sales": (instance(1), instance(2))})
    before, after = versions(first, View()), versions(second, View())
    assert before[ENDPOINTS].pop("sales") != after[ENDPOINTS].pop("sales")
    assert before == after
    assert versions(first, View(zone="a")) == versions(first, View())  # whose instances are in no zone


def test_a_snapshot_is_kept_as_it_is() -> None:
    snapshot = Snapshot(
        {"sales": (instance(1, zone="a"), instance(2)), "search": ()},
        Published("issuer", "audience", {"keys": [{"kid": "1"}]}),
        TRUST,
        SUBSETS,
        {"sales": (Share("v-1", 90_00), Share("", 10_00))},
    )
    assert Snapshot.from_json(snapshot.json) == snapshot
    assert Snapshot.from_json(Snapshot().json) == Snapshot()
    assert Snapshot.from_json(snapshot.json).version == snapshot.version != Snapshot().version


def test_of_two_instances_at_one_address_the_later_is_there_and_a_name_is_no_address() -> None:
    """gRPC would refuse all endpoints of the service, and its callers would go on with those that they had."""
    gone = instance(1, started="2026-11-24T10:00:00+00:00", version="1")
    there = replace(instance(2, started="2026-11-24T11:00:00+00:00", version="2"), port=1)
    named = replace(instance(3), host="localhost")
    sixth = replace(instance(4), host="::1")
    assert reachable((gone, there, named, sixth)) == reachable((sixth, named, there, gone)) == (there, sixth)
