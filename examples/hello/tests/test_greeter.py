"""Greeter and names, each behind the real interceptors on a free port: no Consul, no control plane."""

from typing import Any

import grpc
import mesh.testing
import pytest

from hello.greeter import Greeter
from hello.names import NAMES, Names
from hello.v1.greeter_service_pb2 import GreetRequest
from hello.v1.greeter_service_pb2_grpc import GreeterServiceStub
from hello.v1.names_service_pb2 import PickNameRequest, PickNameResponse
from hello.v1.names_service_pb2_grpc import NamesServiceStub


async def greet(greeting: str, names: Names) -> str:
    async with (
        mesh.testing.serving(names) as called,
        called.channel() as channel,
        mesh.testing.serving(Greeter(NamesServiceStub(channel))) as calling,
        calling.channel() as visitor,
    ):
        return (await GreeterServiceStub(visitor).Greet(GreetRequest(greeting=greeting))).text


async def test_it_greets_one_of_the_names() -> None:
    assert await greet("Hello", Names()) in {f"Hello, {name}!" for name in NAMES}


async def test_it_wants_a_greeting() -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await greet("", Names())
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_without_a_name_it_says_so() -> None:
    class Nameless(Names):
        async def PickName(self, request: PickNameRequest, context: Any) -> PickNameResponse:
            raise NotImplementedError

    with pytest.raises(grpc.RpcError) as refused:
        await greet("Hello", Nameless())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == "There is nobody to greet: names answered UNIMPLEMENTED"
