"""Why ingest refuses."""

from collections.abc import Sequence
from uuid import UUID


class FileRefusedError(Exception):
    """What came is no file of the retail dialect (docs/dialect.md). `facts` say what a sender needs to know."""

    def __init__(self, **facts: str | int) -> None:
        super().__init__(", ".join(f"{name} {fact}" for name, fact in facts.items()))
        self.facts = facts


class FileEmptyError(FileRefusedError):
    pass


class ColumnsMissingError(FileRefusedError):
    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns=",".join(columns))


class FileNotCsvError(FileRefusedError):
    def __init__(self, problem: str) -> None:
        super().__init__(problem=problem)


class GzipDamagedError(FileRefusedError):
    pass


class RowTooLongError(FileRefusedError):
    def __init__(self, row: int, limit_bytes: int) -> None:
        super().__init__(row=row, limit_bytes=limit_bytes)


class FileTooLargeError(FileRefusedError):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes=limit_bytes)


class ChecksumMismatchError(FileRefusedError):
    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(expected=expected, actual=actual)


class UploadIncompleteError(FileRefusedError):
    """The upload ended before its file did."""


class UploadOutOfOrderError(Exception):
    """The messages of an upload make no sense in the order in which they came."""


class FileNotFoundInLakeError(Exception):
    def __init__(self, file_id: str) -> None:
        super().__init__(f"no file {file_id}")
        self.file_id = file_id


class JobNotFoundError(Exception):
    def __init__(self, job_id: UUID) -> None:
        super().__init__(f"no job {job_id}")
        self.job_id = job_id


class JobEndedError(Exception):
    def __init__(self, job_id: UUID, state: str) -> None:
        super().__init__(f"job {job_id} has ended: {state}")
        self.job_id = job_id
        self.state = state


class RequestIdReusedError(Exception):
    def __init__(self, request_id: UUID) -> None:
        super().__init__(f"request {request_id} was another job")
        self.request_id = request_id
