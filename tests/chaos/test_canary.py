"""A share of the traffic for a new version."""

import time

from mesh.registry import Registry
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import seconds
from tests.eventually import eventually_sync

RATE = 300


async def test_a_tenth_goes_to_the_canary(cluster: Cluster) -> None:
    resolver = {
        "Kind": "service-resolver",
        "Name": "auth",
        "Subsets": {f"v-{version}": {"Filter": f'Service.Meta.version == "{version}"'} for version in ("1", "2")},
    }
    splits = [{"Weight": 90, "ServiceSubset": "v-1"}, {"Weight": 10, "ServiceSubset": "v-2"}]
    with (
        cluster.control(),
        cluster.instances("auth-1", "auth-2", MESH_VERSION="1"),
        cluster.instances("canary", MESH_VERSION="2"),
        cluster.load(RATE) as load,
    ):
        async with Registry(cluster.consul) as registry:
            await registry.put_config(resolver)
            await registry.put_config({"Kind": "service-splitter", "Name": "auth", "Splits": splits})
            try:
                eventually_sync(lambda: 0 < load.by(time.time() - 1)["canary"] < 0.2 * RATE, 10)
                since = time.time()
                load.goes_on(seconds(10, 30))
                by = load.by(since)
                assert 0.08 <= by["canary"] / by.total() <= 0.12
            finally:
                await registry.delete_config("service-splitter", "auth")
                await registry.delete_config("service-resolver", "auth")
        eventually_sync(lambda: load.by(time.time() - 1)["canary"] > 0.2 * RATE, 10)  # a third again
        load.unharmed()
