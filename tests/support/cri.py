"""A client of Kubernetes' Container Runtime Interface: calls by name, with plain dicts in and out.

Rules: `cri.proto` has the messages that are used; it is compiled when the client is made, and nothing is generated into
the checkout. A field has the name that it has there, an enumeration's value is its name, bytes are bytes as text, and a
field that the answer does not set is there with its default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc

from .command import SLOWNESS

if TYPE_CHECKING:
    from google.protobuf.message import Message

PROTO = Path(__file__).with_name("cri.proto")
TIMEOUT = 60.0 * SLOWNESS

Fields = dict[str, Any]


class CriError(Exception):
    """The server's refusal: the name of its gRPC code, and its text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def compile_proto(target: Path) -> descriptor_pool.DescriptorPool:
    """Compile `cri.proto` into the file `target` and read it."""
    code = protoc.main(["protoc", f"--proto_path={PROTO.parent}", f"--descriptor_set_out={target}", str(PROTO)])
    assert code == 0, f"protoc: exit code {code}"
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file:
        pool.Add(file)
    return pool


def _plain(message: Message) -> Fields:
    """The message as a dict; protobuf's JSON form has 64-bit integers and bytes as text, which are turned back."""
    fields: Fields = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.type == field.TYPE_MESSAGE:
            if field.message_type.GetOptions().map_entry:
                fields[field.name] = dict(value)
            elif field.is_repeated:
                fields[field.name] = [_plain(each) for each in value]
            elif message.HasField(field.name):
                fields[field.name] = _plain(value)
        elif field.type == field.TYPE_ENUM:
            fields[field.name] = field.enum_type.values_by_number[value].name
        elif field.type == field.TYPE_BYTES:
            fields[field.name] = value.decode(errors="replace")
        else:
            fields[field.name] = list(value) if field.is_repeated else value
    return fields


class CriClient:
    """A connection to the server that listens on the unix socket `address`; `scratch` receives what is compiled."""

    def __init__(self, address: Path, scratch: Path) -> None:
        pool = compile_proto(scratch / "cri.descriptors")
        services = [pool.FindServiceByName(f"runtime.v1.{name}") for name in ("RuntimeService", "ImageService")]
        self._methods = {method.name: method for service in services for method in service.methods}
        self._channel = grpc.insecure_channel(f"unix:{address}")

    def call(self, method: str, request: Fields | None = None, timeout: float = TIMEOUT) -> Fields:
        """One call; CriError when the server refuses, or does not answer within `timeout` seconds."""
        known = self._methods[method]
        message = message_factory.GetMessageClass(known.input_type)()
        json_format.ParseDict(request or {}, message)
        answer = message_factory.GetMessageClass(known.output_type)
        invoke = self._channel.unary_unary(
            f"/{known.containing_service.full_name}/{method}",
            request_serializer=lambda given: given.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return _plain(invoke(message, timeout=timeout))
        except grpc.RpcError as error:
            raise CriError(error.code().name, error.details() or "") from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
