"""Takes in the files of one upload, one after the other: spooled while they arrive, landed when they are complete."""

import asyncio
import contextlib
import hmac
import re
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from services.ingest.domain.errors import (
    ChecksumMismatchError,
    FileRefusedError,
    UploadIncompleteError,
    UploadOutOfOrderError,
)
from services.ingest.domain.job import File
from services.ingest.failures import refused_file
from services.ingest.store.jobs import JobStore
from services.ingest.store.landing import Landing
from services.ingest.store.parsing import Parsed
from services.ingest.store.spool import Spool

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
"""As the contract has it; a form's file names are checked by nobody else."""


class Uploads:
    def __init__(self, landing: Landing, jobs: JobStore, file_bytes: int) -> None:
        self._landing = landing
        self._jobs = jobs
        self._file_bytes = file_bytes

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator["Upload"]:
        """An upload; what has not been landed when the block ends is gone."""
        with tempfile.TemporaryDirectory(prefix="ingest-", ignore_cleanup_errors=True) as folder:
            upload = Upload(Path(folder), self._landing, self._jobs, self._file_bytes)
            try:
                yield upload
            except FileRefusedError as refused:
                raise refused_file(upload.filename, refused) from None
            finally:
                upload.close()


class Upload:
    """All methods raise FileRefusedError and UploadOutOfOrderError."""

    def __init__(self, folder: Path, landing: Landing, jobs: JobStore, file_bytes: int) -> None:
        self.filename = ""
        self.landed: list[File] = []
        self._folder = folder
        self._landing = landing
        self._jobs = jobs
        self._file_bytes = file_bytes
        self._spool: Spool | None = None

    def begin_file(self, filename: str) -> None:
        if self._spool is not None:
            raise UploadOutOfOrderError(f"a new file begins before the digest of '{self.filename}'")
        self.filename = PurePosixPath(filename.replace("\\", "/")).name
        if not _NAME.fullmatch(self.filename):
            raise UploadOutOfOrderError("a file needs a name of 1 to 255 characters, none of them a control character")
        self._spool = Spool(self._folder / f"file-{len(self.landed)}", self._file_bytes)

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._open("content").write, data)

    async def end_file(self, size_bytes: int | None, sha256: str) -> None:
        """Lands the file if it is what the sender believes to have sent; None and "": the sender doesn't say."""
        spool = self._open("digest")
        spool.flush()
        if size_bytes is not None and size_bytes != spool.size:
            raise ChecksumMismatchError(f"{size_bytes} bytes", f"{spool.size} bytes")
        if sha256 and not hmac.compare_digest(sha256, spool.sha256):
            raise ChecksumMismatchError(sha256, spool.sha256)
        parsed = await self._land(spool)
        new = File(spool.sha256, self.filename, spool.size, parsed.row_count, parsed.encoding, datetime.now(UTC))
        self.landed.append(await self._jobs.keep_file(new))
        self.close()

    def finish(self) -> list[File]:
        """The files, once the sender has nothing more to say."""
        if self._spool is not None or not self.landed:
            raise UploadIncompleteError
        return self.landed

    @property
    def received_bytes(self) -> int:
        """Of the file under way."""
        return self._spool.size if self._spool is not None else 0

    def close(self) -> None:
        """Forgets the file under way."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    async def _land(self, spool: Spool) -> Parsed:
        """A caller who gives up waits for it all the same: its files must not be taken from under it."""
        landing = asyncio.create_task(asyncio.to_thread(self._landing.land, spool))
        try:
            return await asyncio.shield(landing)
        finally:
            await asyncio.wait([landing])

    def _open(self, what: str) -> Spool:
        if self._spool is None:
            raise UploadOutOfOrderError(f"a {what} comes before a filename")
        return self._spool
