"""Users, their sessions with the refresh tokens, and the keys that sign access tokens."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE auth.user (
            user_id       uuid PRIMARY KEY,
            username      text NOT NULL UNIQUE,
            roles         text[] NOT NULL
                          CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['admin', 'analyst', 'viewer', 'api']),
            password_hash text NOT NULL,
            create_time   timestamptz NOT NULL
        );
        """
    )
    op.execute(
        """
        CREATE TABLE auth.session (
            session_id  uuid PRIMARY KEY,
            user_id     uuid NOT NULL REFERENCES auth.user ON DELETE CASCADE,
            create_time timestamptz NOT NULL,
            expire_time timestamptz NOT NULL,
            end_time    timestamptz
        );
        """
    )
    op.execute(
        """
        CREATE TABLE auth.refresh_token (
            digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
            session_id  uuid NOT NULL REFERENCES auth.session ON DELETE CASCADE,
            create_time timestamptz NOT NULL,
            use_time    timestamptz
        );
        """
    )
    op.execute(
        """
        CREATE TABLE auth.signing_key (
            key_id      text PRIMARY KEY,
            private_key bytea NOT NULL,
            create_time timestamptz NOT NULL,
            active_time timestamptz NOT NULL,
            retire_time timestamptz
        );
        """
    )
    # For what a deleted user or session takes along, and for the sessions whose time is over.
    op.execute("CREATE INDEX session_of_user ON auth.session (user_id)")
    op.execute("CREATE INDEX session_by_expiry ON auth.session (expire_time)")
    op.execute("CREATE INDEX refresh_token_of_session ON auth.refresh_token (session_id)")


def downgrade() -> None:
    op.execute("DROP TABLE auth.signing_key, auth.refresh_token, auth.session, auth.user")
