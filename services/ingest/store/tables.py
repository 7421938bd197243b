"""The tables: files that were uploaded, jobs, and what the jobs found in each of their files."""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "ingest"
MIGRATIONS = Path(__file__).parent / "migrations"
CHANGED = "ingest_job_changed"
"""The channel on which a job's id is notified in the transaction that changes it."""

TIME = DateTime(timezone=True)

metadata = MetaData(schema=SCHEMA)

file = Table(
    "file",
    metadata,
    Column("file_id", Text, primary_key=True),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("upload_time", TIME, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("error", LargeBinary, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("start_time", TIME),
    Column("end_time", TIME),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_end", TIME),
)

job_file = Table(
    "job_file",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("file_id", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("accepted", BigInteger),
    Column("duplicate", BigInteger),
    Column("quarantined", JSONB),
)
