"""Files and jobs in PostgreSQL. Every method raises StoreUnavailableError when the database is away."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, and_, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import aip
from services.database import Database, SortKey, after, condition, ordering
from services.ingest.domain.errors import (
    FileNotFoundInLakeError,
    JobEndedError,
    JobNotFoundError,
    RequestIdReusedError,
)
from services.ingest.domain.job import Counts, File, Job, JobFile, Stage, State
from services.ingest.store.tables import CHANGED, file, job, job_file

FILTERABLE = {name: job.c[name] for name in ("state", "create_time")}
_NEWEST_FIRST = [SortKey(job.c.create_time, descending=True), SortKey(job.c.job_id, descending=True)]


@dataclass(frozen=True)
class Page:
    jobs: Sequence[Job]
    more: bool


class JobStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_file(self, new: File) -> File:
        """Makes a file known. The same content is the same file; it goes by the name it was given last."""
        values = vars(new)
        statement = (
            upsert(file)
            .values(values)
            .on_conflict_do_update(index_elements=[file.c.file_id], set_={"filename": new.filename})
            .returning(file)
        )
        async with self._database.transaction() as connection:
            return File(**(await connection.execute(statement)).mappings().one())

    async def create(self, file_ids: Sequence[str], request_id: UUID) -> Job:
        """The new job, or the one that this request made. Raises FileNotFoundInLakeError, RequestIdReusedError."""
        fingerprint = hashlib.sha256("\n".join(file_ids).encode()).digest()
        async with self._database.transaction() as connection:
            files = await _known_files(connection, file_ids)
            values = {
                "job_id": uuid4(),
                "request_id": request_id,
                "fingerprint": fingerprint,
                "state": State.PENDING,
                "stage": Stage.NONE,
                "progress_percent": 0,
                "error": b"",
                "cancel_requested": False,
                "create_time": func.now(),
                "attempts": 0,
                "owner": "",
            }
            claim = upsert(job).values(values).on_conflict_do_nothing(index_elements=[job.c.request_id])
            claimed = (await connection.execute(claim.returning(job.c.job_id))).scalar()
            if claimed is None:
                known = select(job.c.job_id, job.c.fingerprint).where(job.c.request_id == request_id)
                job_id, known_fingerprint = (await connection.execute(known)).one()
                if known_fingerprint != fingerprint:
                    raise RequestIdReusedError(request_id)
                return await _get(connection, job_id)
            rows = [
                {
                    "job_id": claimed,
                    "position": position,
                    "file_id": each.file_id,
                    "filename": each.filename,
                    "row_count": each.row_count,
                }
                for position, each in enumerate(files, start=1)
            ]
            await connection.execute(insert(job_file), rows)
            await _notify(connection, claimed)
            return await _get(connection, claimed)

    async def get(self, job_id: UUID) -> Job:
        """Raises JobNotFoundError."""
        async with self._database.reading() as connection:
            return await _get(connection, job_id)

    async def page(self, wanted: aip.Filter | None, cursor: Sequence[Any] | None, size: int) -> Page:
        """At most `size` jobs behind the cursor (create_time, job_id), the newest first."""
        statement = (
            select(job)
            .where(condition(wanted, FILTERABLE), after(_NEWEST_FIRST, cursor))
            .order_by(*ordering(_NEWEST_FIRST))
            .limit(size + 1)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
            return Page(await _with_files(connection, rows[:size]), more=len(rows) > size)

    async def request_cancel(self, job_id: UUID) -> Job:
        """Cancels a job that waits; asks whoever works on it otherwise. Raises JobNotFoundError, JobEndedError."""
        async with self._database.transaction() as connection:
            found = await connection.execute(select(job.c.state).where(job.c.job_id == job_id).with_for_update())
            state = found.scalar()
            if state is None:
                raise JobNotFoundError(job_id)
            if State(state).ended and state != State.CANCELLED:
                raise JobEndedError(job_id, state)
            values: dict[str, Any] = {"cancel_requested": True}
            if state == State.PENDING:
                values |= {"state": State.CANCELLED, "end_time": func.now()}
            await connection.execute(update(job).where(job.c.job_id == job_id).values(values))
            await _notify(connection, job_id)
            return await _get(connection, job_id)

    async def claim(self, owner: str, lease: timedelta) -> tuple[Job, int] | None:
        """The oldest job that waits, or that was left by whoever worked on it; and which attempt this is."""
        left = and_(job.c.state == State.RUNNING, job.c.lease_end < func.now())
        oldest = (
            select(job.c.job_id)
            .where(or_(job.c.state == State.PENDING, left))
            .order_by(job.c.create_time, job.c.job_id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        values = {
            "state": State.RUNNING,
            "owner": owner,
            "lease_end": func.now() + lease,
            "start_time": func.coalesce(job.c.start_time, func.now()),
            "attempts": job.c.attempts + 1,
        }
        claim = update(job).where(job.c.job_id == oldest.scalar_subquery()).values(values)
        async with self._database.transaction() as connection:
            row = (await connection.execute(claim.returning(job.c.job_id, job.c.attempts))).first()
            if row is None:
                return None
            await _notify(connection, row.job_id)
            return await _get(connection, row.job_id), row.attempts

    async def extend(self, job_id: UUID, owner: str, lease: timedelta) -> bool:
        """Goes on owning the job; False: it is somebody else's by now."""
        values = {"lease_end": func.now() + lease}
        async with self._database.transaction() as connection:
            done = await connection.execute(update(job).where(_owned(job_id, owner)).values(values))
            return done.rowcount == 1

    async def progress(self, job_id: UUID, owner: str, stage: Stage, percent: int) -> None:
        """Says how far the job is; nothing if it is somebody else's by now."""
        await self._change(job_id, owner, {"stage": stage, "progress_percent": percent})

    async def give_back(self, job_id: UUID, owner: str) -> None:
        """Lets somebody else begin it again, at once."""
        await self._change(job_id, owner, {"state": State.PENDING, "owner": "", "attempts": job.c.attempts - 1})

    async def end(
        self, job_id: UUID, owner: str, state: State, *, error: bytes = b"", counts: Mapping[str, Counts] | None = None
    ) -> None:
        """Ends the job, with the counts of each file if it succeeded."""
        values: dict[str, Any] = {"state": state, "error": error, "end_time": func.now(), "owner": ""}
        if state is State.SUCCEEDED:
            values |= {"stage": Stage.DONE, "progress_percent": 100}
        async with self._database.transaction() as connection:
            done = await connection.execute(update(job).where(_owned(job_id, owner)).values(values))
            if done.rowcount != 1:
                return
            for file_id, counted in (counts or {}).items():
                await connection.execute(
                    update(job_file)
                    .where(job_file.c.job_id == job_id, job_file.c.file_id == file_id)
                    .values(
                        accepted=counted.accepted, duplicate=counted.duplicate, quarantined=dict(counted.quarantined)
                    )
                )
            await _notify(connection, job_id)

    async def _change(self, job_id: UUID, owner: str, values: Mapping[str, Any]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(update(job).where(_owned(job_id, owner)).values(values))
            await _notify(connection, job_id)


def _owned(job_id: UUID, owner: str) -> Any:
    return and_(job.c.job_id == job_id, job.c.owner == owner, job.c.state == State.RUNNING)


async def _notify(connection: AsyncConnection, job_id: UUID) -> None:
    await connection.execute(text("SELECT pg_notify(:channel, :job_id)"), {"channel": CHANGED, "job_id": str(job_id)})


async def _known_files(connection: AsyncConnection, file_ids: Sequence[str]) -> list[RowMapping]:
    found = await connection.execute(select(file).where(file.c.file_id.in_(file_ids)))
    known = {row["file_id"]: row for row in found.mappings()}
    for file_id in file_ids:
        if file_id not in known:
            raise FileNotFoundInLakeError(file_id)
    return [known[file_id] for file_id in file_ids]


async def _get(connection: AsyncConnection, job_id: UUID) -> Job:
    rows = (await connection.execute(select(job).where(job.c.job_id == job_id))).mappings().all()
    if not rows:
        raise JobNotFoundError(job_id)
    return (await _with_files(connection, rows))[0]


async def _with_files(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[Job]:
    files: dict[UUID, list[JobFile]] = {row["job_id"]: [] for row in rows}
    found = await connection.execute(
        select(job_file).where(job_file.c.job_id.in_(files)).order_by(job_file.c.job_id, job_file.c.position)
    )
    for row in found.mappings():
        files[row["job_id"]].append(_job_file(row))
    return [_job(row, files[row["job_id"]]) for row in rows]


def _job_file(row: RowMapping) -> JobFile:
    counts = None
    if row["accepted"] is not None:
        counts = Counts(row["accepted"], row["duplicate"], row["quarantined"])
    return JobFile(row["file_id"], row["filename"], row["row_count"], counts)


def _job(row: RowMapping, files: Sequence[JobFile]) -> Job:
    end_time: datetime | None = row["end_time"]
    return Job(
        job_id=row["job_id"],
        state=State(row["state"]),
        stage=Stage(row["stage"]),
        progress_percent=row["progress_percent"],
        files=tuple(files),
        error=row["error"],
        cancel_requested=row["cancel_requested"],
        create_time=row["create_time"],
        start_time=row["start_time"],
        end_time=end_time,
    )
