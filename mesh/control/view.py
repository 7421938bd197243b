"""What a subscriber sees depends on what it is and where it is."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    GRPC = "grpc"
    ENVOY = "envoy"


@dataclass(frozen=True)
class View:
    kind: Kind = Kind.GRPC
    zone: str = ""

    @classmethod
    def of(cls, node: Any) -> "View":
        """The view of a subscriber, of its `envoy.config.core.v3.Node`."""
        return cls(Kind.ENVOY if node.user_agent_name == "envoy" else Kind.GRPC, node.locality.zone)
