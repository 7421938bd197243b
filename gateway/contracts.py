"""The contracts that the edge serves."""

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from mesh.v1 import options_pb2

DESCRIPTORS = Path(__file__).resolve().parent.parent / "gen" / "contracts.binpb"


@cache
def contracts() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


@cache
def services() -> dict[str, str]:
    """The mesh name of each gRPC service, by `package.Service`; their messages are loaded from here on."""
    found = {}
    for file in contracts().file:
        for service in file.service:
            if service.options.HasExtension(options_pb2.service_name):
                found[f"{file.package}.{service.name}"] = str(service.options.Extensions[options_pb2.service_name])
                importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
    return found


def methods() -> Iterator[MethodDescriptor]:
    """All methods of all services."""
    for service in services():
        yield from descriptor_pool.Default().FindServiceByName(service).methods
