"""The real parts a stack may consist of. To add one: a module here, and its class in `KINDS`."""

from mesh.local.components.base import Component, NotReadyError, Site
from mesh.local.components.consul import Consul
from mesh.local.components.envoy import Envoy
from mesh.local.components.lakehouse import Lakehouse
from mesh.local.components.postgres import Postgres
from mesh.local.components.spark import Spark
from mesh.local.components.valkey import Valkey

KINDS: dict[str, type[Component]] = {kind.name: kind for kind in (Spark, Consul, Postgres, Valkey, Lakehouse, Envoy)}

__all__ = ["KINDS", "Component", "Consul", "NotReadyError", "Site"]
