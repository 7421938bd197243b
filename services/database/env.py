"""Alembic runs this file for each migration of any service (services/database/migrations.py)."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table="schema_revision",
    version_table_schema=attributes["schema"],
    include_schemas=True,
)
context.run_migrations()
