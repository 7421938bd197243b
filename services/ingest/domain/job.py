"""A job: files on their way into the lake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class State(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


class Stage(StrEnum):
    """Steps of a job, in their order."""

    NONE = ""
    BRONZE = "BRONZE"
    SILVER = "SILVER"
    GOLD = "GOLD"
    DONE = "DONE"


@dataclass(frozen=True)
class File:
    """A file in the landing area."""

    file_id: str
    """The SHA-256 of its bytes as they came, in hexadecimal."""
    filename: str
    size_bytes: int
    """As it came, compressed or not."""
    row_count: int
    encoding: str
    upload_time: datetime

    @property
    def sha256(self) -> str:
        return self.file_id


@dataclass(frozen=True)
class Counts:
    """rows_read = accepted + duplicate + the sum of quarantined."""

    accepted: int = 0
    duplicate: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """By the name of the reason."""

    @property
    def rows_quarantined(self) -> int:
        return sum(self.quarantined.values())

    @property
    def rows_read(self) -> int:
        return self.accepted + self.duplicate + self.rows_quarantined

    def __add__(self, other: "Counts") -> "Counts":
        reasons = sorted({*self.quarantined, *other.quarantined})
        return Counts(
            self.accepted + other.accepted,
            self.duplicate + other.duplicate,
            {reason: self.quarantined.get(reason, 0) + other.quarantined.get(reason, 0) for reason in reasons},
        )


@dataclass(frozen=True)
class JobFile:
    """One of the files of a job."""

    file_id: str
    filename: str
    row_count: int
    counts: Counts | None
    """None until the job has counted."""


@dataclass(frozen=True)
class Job:
    job_id: UUID
    state: State
    stage: Stage
    progress_percent: int
    files: Sequence[JobFile]
    error: bytes
    """A google.rpc.Status on the wire; empty: none."""
    cancel_requested: bool
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None

    @property
    def counts(self) -> Counts | None:
        counted = [each.counts for each in self.files if each.counts is not None]
        return sum(counted, Counts()) if counted and len(counted) == len(self.files) else None
