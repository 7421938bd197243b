"""Uploads over REST: one raw file, or `multipart/form-data` (RFC 7578) with several.

Envoy hands a body on in pieces, and its end looks the same whether the sender was done or was cut off. So a file is
complete only if its digest, the request's Content-Length or the last boundary of the form says so.
"""

from collections.abc import AsyncIterator
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from retail.ingest.v1.ingest_service_pb2 import UploadFilesRequest

from services.ingest.domain.errors import UploadIncompleteError, UploadOutOfOrderError
from services.ingest.uploads import Upload

_MULTIPART = "multipart/form-data"


def is_rest(metadata: dict[str, str]) -> bool:
    """Whether Envoy's transcoder made this call of a REST one."""
    return "x-envoy-original-path" in metadata


async def receive(requests: AsyncIterator[UploadFilesRequest], metadata: dict[str, str], upload: Upload) -> None:
    """Takes all files of the body. Raises FileRefusedError, UploadOutOfOrderError."""
    first = await anext(requests, None)
    if first is None:
        raise UploadIncompleteError
    length = _content_length(metadata)
    if first.content.content_type.partition(";")[0].strip().lower() == _MULTIPART:
        await _receive_form(first, requests, length, upload)
    else:
        await _receive_raw(first, requests, length, upload)


async def _receive_raw(
    first: UploadFilesRequest, requests: AsyncIterator[UploadFilesRequest], length: int | None, upload: Upload
) -> None:
    if not first.filename:
        raise UploadOutOfOrderError("name the file: ?filename=NAME")
    upload.begin_file(first.filename)
    await upload.write(first.content.data)
    async for request in requests:
        await upload.write(request.content.data)
    size = first.digest.size_bytes if first.HasField("digest") and first.digest.size_bytes else length
    if size is None and not first.digest.sha256:
        raise UploadIncompleteError
    if length is not None and upload.received_bytes < length:
        raise UploadIncompleteError
    await upload.end_file(size, first.digest.sha256)


async def _receive_form(
    first: UploadFilesRequest, requests: AsyncIterator[UploadFilesRequest], length: int | None, upload: Upload
) -> None:
    form = _Form(first.content.content_type)
    received = len(first.content.data)
    await form.feed(first.content.data, upload)
    async for request in requests:
        received += len(request.content.data)
        await form.feed(request.content.data, upload)
    if not form.ended or (length is not None and received < length):
        raise UploadIncompleteError


class _Form:
    """The parts of a form as they arrive. The parser tells by callbacks; they are kept in order and worked off."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise UploadOutOfOrderError("the form names no boundary")
        self.ended = False
        self._told: list[tuple[str, bytes]] = []
        self._header = [b"", b""]
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": lambda data, start, end: self._add_to_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add_to_header(1, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": lambda: self._told.append(("begin", self._disposition)),
                "on_part_data": lambda data, start, end: self._told.append(("data", data[start:end])),
                "on_part_end": lambda: self._told.append(("end", b"")),
                "on_end": lambda: self._told.append(("done", b"")),
            },
        )

    async def feed(self, data: bytes, upload: Upload) -> None:
        try:
            self._parser.write(data)
        except MultipartParseError as problem:
            raise UploadOutOfOrderError(f"the form can't be read: {problem}") from None
        told, self._told = self._told, []
        for what, value in told:
            match what:
                case "begin":
                    upload.begin_file(_filename(value))
                case "data":
                    await upload.write(value)
                case "end":
                    await upload.end_file(None, "")
                case "done":
                    self.ended = True

    def _part_begin(self) -> None:
        self._header, self._disposition = [b"", b""], b""

    def _add_to_header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]


def _filename(disposition: bytes) -> str:
    _, options = parse_options_header(disposition)
    if b"filename" not in options:
        name: Any = options.get(b"name", b"")
        raise UploadOutOfOrderError(f"the form's field '{name.decode(errors='replace'):.64}' is no file")
    return str(options[b"filename"].decode(errors="replace"))


def _content_length(metadata: dict[str, str]) -> int | None:
    text = metadata.get("x-content-length", "")
    return int(text) if text.isdecimal() else None
