"""Names of workloads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity import SpiffeId

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(names, names, names)
def test_a_name_reads_back_as_it_was_written(domain: str, datacenter: str, service: str) -> None:
    name = SpiffeId(f"{domain}.consul", datacenter, service)
    assert SpiffeId.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe://t.consul/agent/server/dc/dc1",
        "spiffe://t.consul/ns/default/dc/dc1/svc/",
        "spiffe://t.consul/ns/default/dc/dc1/svc/sales/more",
        "spiffe://t.consul/ns/other/dc/dc1/svc/sales",
        "https://t.consul/ns/default/dc/dc1/svc/sales",
        " spiffe://t.consul/ns/default/dc/dc1/svc/sales",
        "spiffe://t.consul/ns/default/dc/dc1/svc/sales\n",
    ],
)
def test_what_is_no_service_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the SPIFFE ID of a service"):
        SpiffeId.parse(text)
