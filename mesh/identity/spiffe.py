"""Names of workloads, as Consul makes them: `spiffe://TRUST-DOMAIN/ns/default/dc/DATACENTER/svc/SERVICE`.

https://developer.hashicorp.com/consul/docs/connect/ca
"""

import re
from dataclasses import dataclass

_FORM = re.compile(
    r"spiffe://(?P<domain>[a-z0-9.-]+)/ns/default/dc/(?P<datacenter>[\w.-]+)/svc/(?P<service>[\w.-]+)", re.ASCII
)


@dataclass(frozen=True)
class SpiffeId:
    trust_domain: str
    datacenter: str
    service: str

    @classmethod
    def parse(cls, uri: str) -> "SpiffeId":
        """Raises ValueError for what is no service's name in Consul's form."""
        match = _FORM.fullmatch(uri)
        if match is None:
            raise ValueError(f"{uri!r} is not the SPIFFE ID of a service")
        return cls(match["domain"], match["datacenter"], match["service"])

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/default/dc/{self.datacenter}/svc/{self.service}"
