"""A file while it arrives: on local disk, its bytes counted and hashed."""

import hashlib
from pathlib import Path

from services.ingest.domain.errors import FileTooLargeError


class Spool:
    """Until `close`, after which nothing of it stays. All methods block."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._limit = limit_bytes
        self._hash = hashlib.sha256()
        self._file = path.open("xb")

    def write(self, data: bytes) -> None:
        """Raises FileTooLargeError."""
        self.size += len(data)
        if self.size > self._limit:
            raise FileTooLargeError(self._limit)
        self._hash.update(data)
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def close(self) -> None:
        """The file is gone."""
        self._file.close()
        self.path.unlink(missing_ok=True)
