"""From the bytes of a file to the rows of docs/lake.md, as Parquet. Everything here blocks.

Parsed here and not by Spark: a gzipped or multi-line CSV is read by one task anyway, Spark numbers no rows, and what
is wrong with a file shall be said to who uploads it (docs/adr/0008).
"""

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
from pyarrow import parquet

from services.ingest.domain.errors import (
    ColumnsMissingError,
    FileEmptyError,
    FileNotCsvError,
    FileTooLargeError,
    GzipDamagedError,
)
from services.ingest.domain.header import COLUMNS, Header
from services.ingest.domain.records import Record, records

SCHEMA = pa.schema(
    [
        pa.field("row_number", pa.int64(), nullable=False),
        *(pa.field(name, pa.string()) for name in COLUMNS.values()),
        pa.field("further", pa.map_(pa.string(), pa.string())),
        pa.field("malformed", pa.bool_(), nullable=False),
        pa.field("raw", pa.string()),
    ]
)
REST = "_rest"
"""Under it `further` has what is beyond the header's columns, and all of a row whose quotes don't match."""
_CHUNK = 1024 * 1024
_BATCH_ROWS = 50_000
_BATCH_CHARACTERS = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Parsed:
    row_count: int
    encoding: str


def parse(source: Path, target: Path, limit_bytes: int) -> Parsed:
    """Writes the rows of the file `source` to `target`. Raises FileRefusedError."""
    encoding = _sound_encoding(source, limit_bytes)
    with _opened(source) as unpacked:
        text = io.TextIOWrapper(unpacked, encoding=f"{encoding}-sig" if encoding == "utf-8" else encoding,
                                errors="strict" if encoding == "utf-8" else "replace", newline="")  # fmt: skip
        found = records(text)
        header = _header(next(found, None))
        return Parsed(_write(found, header, target), encoding)


def _sound_encoding(source: Path, limit_bytes: int) -> str:
    """One pass over all bytes: is it whole, is it text, and is it UTF-8?"""
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding, size = "utf-8", 0
    with _opened(source) as unpacked:
        while chunk := unpacked.read(_CHUNK):
            if size == 0 and chunk.startswith((_ZIP, _OLD_EXCEL)):
                raise FileNotCsvError("it is a ZIP or Excel file; save it as CSV first")
            if (place := chunk.find(0)) >= 0:
                raise FileNotCsvError(f"it holds a NUL byte at byte {size + place + 1}")
            size += len(chunk)
            if size > limit_bytes:
                raise FileTooLargeError(limit_bytes)
            if encoding == "utf-8":
                encoding = _still_utf8(decoder, chunk)
    if encoding == "utf-8":
        encoding = _still_utf8(decoder, b"", final=True)
    if size == 0:
        raise FileEmptyError
    return encoding


def _still_utf8(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> str:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    """The bytes of the file, unpacked. What is read of a damaged gzip raises GzipDamagedError."""
    with source.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise GzipDamagedError from None


def _header(first: Record | None) -> Header:
    if first is None:
        raise ColumnsMissingError(list(COLUMNS))
    if first.fields is None:
        raise FileNotCsvError("the quotes of its first row do not match")
    return Header.read(first.fields)


def _write(found: Iterator[Record], header: Header, target: Path) -> int:
    row_count = 0
    with parquet.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        batch = _Batch(header)
        for record in found:
            row_count += 1
            batch.add(row_count, record)
            if batch.full:
                writer.write_table(batch.table())
                batch = _Batch(header)
        writer.write_table(batch.table())
    return row_count


class _Batch:
    """Rows, column by column."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._numbers: list[int] = []
        self._rows: list[tuple[str | None, ...]] = []
        self._further: list[list[tuple[str, str]] | None] = []
        self._raw: list[str | None] = []
        self._characters = 0

    @property
    def full(self) -> bool:
        return len(self._numbers) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS

    def add(self, number: int, record: Record) -> None:
        fields, header = record.fields, self._header
        self._numbers.append(number)
        self._characters += len(record.raw)
        if fields is not None and len(fields) == header.width:
            self._rows.append(tuple([fields[place] for place in header.places]))
            self._further.append([(name, fields[place]) for name, place in header.further] or None)
            self._raw.append(None)
            return
        raw = record.raw.rstrip("\r\n")
        have = fields or []
        self._rows.append(tuple([have[place] if place < len(have) else None for place in header.places]))
        further = [(name, have[place]) for name, place in header.further if place < len(have)]
        rest = raw if fields is None else ",".join(have[header.width :])
        self._further.append([*further, (REST, rest)] if rest else further or None)
        self._raw.append(raw)

    def table(self) -> pa.Table:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(COLUMNS)
        malformed = [raw is not None for raw in self._raw]
        values = [self._numbers, *columns, self._further, malformed, self._raw]
        arrays = [pa.array(value, field.type) for value, field in zip(values, SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)
