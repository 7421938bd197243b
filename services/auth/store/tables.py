"""The tables."""

from pathlib import Path

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

SCHEMA = "auth"
MIGRATIONS = Path(__file__).parent / "migrations"

TIME = DateTime(timezone=True)

metadata = MetaData(schema=SCHEMA)

user = Table(
    "user",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("roles", ARRAY(Text), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("create_time", TIME, nullable=False),
)

session = Table(
    "session",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("expire_time", TIME, nullable=False),
    Column("end_time", TIME),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", Uuid, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("use_time", TIME),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("private_key", LargeBinary, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("active_time", TIME, nullable=False),
    Column("retire_time", TIME),
)
