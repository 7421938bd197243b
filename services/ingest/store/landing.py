"""The lake's landing area: each file as it came, and its rows, below `landing/{file_id}/`. Everything here blocks."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from services.ingest.store.parsing import Parsed, parse
from services.ingest.store.spool import Spool
from services.lakehouse import Lakehouse


class LandingUnavailableError(Exception):
    """The lake can't be written to now."""


class Landing:
    def __init__(self, lakehouse: Lakehouse, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._files: fs.FileSystem
        self._root: str
        if lakehouse.local_path is not None:
            self._files, self._root = fs.LocalFileSystem(), os.fspath(lakehouse.local_path)
        else:
            self._files, self._root = fs.FileSystem.from_uri(lakehouse.uri)

    def land(self, spool: Spool) -> Parsed:
        """Keeps the file and its rows under its SHA-256. Landing the same file again changes nothing.

        Raises FileRefusedError, LandingUnavailableError.
        """
        rows = spool.path.with_suffix(".parquet")
        try:
            parsed = parse(spool.path, rows, self._limit)
            folder = f"{self._root}/landing/{spool.sha256}"
            with _naming_failures():
                self._files.create_dir(folder, recursive=True)
                self._put(spool.path, f"{folder}/original")
                self._put(rows, f"{folder}/rows.parquet")
        finally:
            with suppress(FileNotFoundError):
                rows.unlink()
        return parsed

    def _put(self, source: Path, target: str) -> None:
        """A reader sees the whole file or none."""
        part = f"{target}.{uuid.uuid4().hex}.part"
        try:
            fs.copy_files(
                os.fspath(source), part, source_filesystem=fs.LocalFileSystem(), destination_filesystem=self._files
            )
            self._files.move(part, target)
        except BaseException:
            with suppress(OSError):
                self._files.delete_file(part)
            raise


@contextmanager
def _naming_failures() -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as problem:
        raise LandingUnavailableError(type(problem).__name__) from problem
