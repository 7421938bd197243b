"""Files, jobs and the files of jobs."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ingest.file (
            file_id     text PRIMARY KEY CHECK (file_id ~ '^[0-9a-f]{64}$'),
            filename    text NOT NULL,
            size_bytes  bigint NOT NULL CHECK (size_bytes > 0),
            row_count   bigint NOT NULL CHECK (row_count >= 0),
            encoding    text NOT NULL,
            upload_time timestamptz NOT NULL
        );
        """
    )
    op.execute(
        """
        CREATE TABLE ingest.job (
            job_id           uuid PRIMARY KEY,
            request_id       uuid NOT NULL UNIQUE,
            fingerprint      bytea NOT NULL,
            state            text NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
            stage            text NOT NULL CHECK (stage IN ('', 'BRONZE', 'SILVER', 'GOLD', 'DONE')),
            progress_percent integer NOT NULL CHECK (progress_percent BETWEEN 0 AND 100),
            error            bytea NOT NULL,
            cancel_requested boolean NOT NULL,
            create_time      timestamptz NOT NULL,
            start_time       timestamptz,
            end_time         timestamptz,
            attempts         integer NOT NULL,
            owner            text NOT NULL,
            lease_end        timestamptz
        );
        """
    )
    op.execute(
        """
        CREATE TABLE ingest.job_file (
            job_id      uuid NOT NULL REFERENCES ingest.job ON DELETE CASCADE,
            position    integer NOT NULL CHECK (position > 0),
            file_id     text NOT NULL REFERENCES ingest.file,
            filename    text NOT NULL,
            row_count   bigint NOT NULL,
            accepted    bigint,
            duplicate   bigint,
            quarantined jsonb,
            PRIMARY KEY (job_id, position)
        );
        """
    )
    op.execute("CREATE INDEX job_by_time ON ingest.job (create_time, job_id)")
    op.execute("CREATE INDEX job_to_do ON ingest.job (create_time) WHERE state IN ('PENDING', 'RUNNING')")


def downgrade() -> None:
    op.execute("DROP TABLE ingest.job_file, ingest.job, ingest.file")
