"""A peer that speaks HTTP/2 as badly as a test wants: it sends what it is told to, whatever the rules say."""

import asyncio
import base64
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import grpc
from google.rpc import status_pb2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import Frame

from mesh.contract import CODES
from mesh.error import Described, described

Headers = Sequence[tuple[str, str]]


def framed(message: bytes, *, compressed: bool = False, declared: int | None = None) -> bytes:
    """A message as gRPC puts it on the wire; `declared` is the length that it claims."""
    return struct.pack(">BI", compressed, len(message) if declared is None else declared) + message


@dataclass
class Answer:
    """What came back on one stream so far."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    """The error code of RST_STREAM."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> grpc.StatusCode | None:
        """None: the stream ended without one."""
        return CODES[int(self.headers["grpc-status"])] if "grpc-status" in self.headers else None

    @property
    def message(self) -> str:
        return self.headers.get("grpc-message", "")

    @property
    def details(self) -> Described:
        encoded = self.headers["grpc-status-details-bin"]
        return described(status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4))))


class _Undeterred(H2Connection):
    """Goes on after GOAWAY, which h2 takes for the end of all streams, though those under way may end."""

    def _receive_goaway_frame(self, frame: Frame) -> tuple[list[Frame], list[Event]]:
        return [], []


class Peer:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> None:
        self._reader = reader
        self._writer = writer
        self._authority = authority
        self._http = _Undeterred(
            H2Configuration(
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._answers: dict[int, Answer] = {}
        self.closed = asyncio.Event()
        self._http.initiate_connection()
        self._flush()

    def open(self, path: str, headers: Headers = (), body: bytes | None = None, *, end: bool = True) -> int:
        """Opens a stream; without a body nothing but its headers is sent. Returns the stream's number."""
        settings = self._http.remote_settings
        settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 2**31 - 1  # whatever the server has said
        settings.acknowledge()
        stream = self._http.get_next_available_stream_id()
        self._answers[stream] = Answer()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self._authority)]
        usual = [("te", "trailers"), ("content-type", "application/grpc")]
        given = {name for name, _ in headers}
        self._http.send_headers(stream, [*pseudo, *(each for each in usual if each[0] not in given), *headers])
        if body is not None:
            self.send(stream, body, end=end)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends a little data: no more than the flow-control window holds."""
        most = self._http.max_outbound_frame_size
        pieces = [data[start : start + most] for start in range(0, len(data), most)] or [b""]
        for piece in pieces[:-1]:
            self._http.send_data(stream, piece)
        self._http.send_data(stream, pieces[-1], end_stream=end)
        self._flush()

    def reset(self, stream: int, code: int = 8) -> None:
        """RST_STREAM, by default with CANCEL."""
        self._http.reset_stream(stream, code)
        self._flush()

    def ping(self) -> None:
        self._http.ping(b"12345678")
        self._flush()

    def take_nothing(self) -> None:
        """Leaves the server no room for any data on streams to come."""
        self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self._flush()

    def raw(self, data: bytes) -> None:
        """Bytes that need be no HTTP/2."""
        self._writer.write(data)

    async def sent(self) -> None:
        """Waits until the kernel has taken nearly all that was sent."""
        await self._writer.drain()

    def answer_so_far(self, stream: int) -> Answer:
        return self._answers[stream]

    async def answer(self, stream: int, timeout: float = 10) -> Answer:  # noqa: ASYNC109
        """The whole answer. Raises TimeoutError, or ConnectionError if the connection ends before it."""
        answer = self._answers[stream]
        async with asyncio.timeout(timeout):
            ended, closed = (asyncio.create_task(event.wait()) for event in (answer.ended, self.closed))
            try:
                await asyncio.wait([ended, closed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
                closed.cancel()
        if not answer.ended.is_set():
            raise ConnectionError("the server has closed the connection")
        return answer

    async def call(self, path: str, headers: Headers = (), message: bytes = b"") -> Answer:
        """A call as it should be, but for its headers."""
        return await self.answer(self.open(path, headers, framed(message)))

    async def receive(self) -> None:
        """Takes in what the server sends, until either side closes."""
        try:
            while data := await self._reader.read(65536):
                for event in self._http.receive_data(data):
                    self._take(event)
                self._flush()
        except (ProtocolError, ConnectionError):
            pass  # after what was done to it, the server may end it in any way
        finally:
            self.closed.set()

    def _take(self, event: Event) -> None:
        answer = self._answers.get(getattr(event, "stream_id", None) or 0)
        if answer is None:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            answer.headers |= {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, DataReceived):
            answer.data += event.data
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code)
            answer.ended.set()
        elif isinstance(event, StreamEnded):
            answer.ended.set()

    def _flush(self) -> None:
        if data := self._http.data_to_send():
            self._writer.write(data)


@contextlib.asynccontextmanager
async def peer(address: str) -> AsyncIterator[Peer]:
    """A connection that lasts as long as the block, and is then cut without a word."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connected = Peer(reader, writer, address)
    receiving = asyncio.create_task(connected.receive())
    try:
        yield connected
    finally:
        writer.transport.abort()
        receiving.cancel()
        await asyncio.wait([receiving])
