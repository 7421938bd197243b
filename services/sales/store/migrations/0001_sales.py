"""Sales, their lines, and the requests that recorded them."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE sales.request (
            request_id  uuid PRIMARY KEY,
            fingerprint bytea NOT NULL,
            sale_id     uuid NOT NULL,
            create_time timestamptz NOT NULL
        );
        """
    )
    op.execute(
        """
        CREATE TABLE sales.sale (
            sale_id       uuid PRIMARY KEY,
            version       bigint NOT NULL CHECK (version > 0),
            state         text NOT NULL CHECK (state IN ('RECORDED', 'CANCELLED', 'RETURNED')),
            customer_id   text NOT NULL,
            country       text NOT NULL,
            currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
            total         numeric(24, 4) NOT NULL CHECK (total >= 0),
            line_count    integer NOT NULL CHECK (line_count > 0),
            create_time   timestamptz NOT NULL,
            update_time   timestamptz NOT NULL
        );
        """
    )
    op.execute(
        """
        CREATE TABLE sales.sale_line (
            sale_id     uuid NOT NULL REFERENCES sales.sale ON DELETE CASCADE,
            line_number integer NOT NULL CHECK (line_number > 0),
            stock_code  text NOT NULL,
            description text NOT NULL,
            quantity    integer NOT NULL CHECK (quantity > 0),
            unit_price  numeric(18, 4) NOT NULL CHECK (unit_price >= 0),
            amount      numeric(24, 4) NOT NULL CHECK (amount = quantity * unit_price),
            PRIMARY KEY (sale_id, line_number)
        );
        """
    )
    # One for each order that a listing can be in, and one for the commonest filter.
    op.execute("CREATE INDEX sale_by_time ON sales.sale (create_time, sale_id)")
    op.execute("CREATE INDEX sale_by_total ON sales.sale (total, sale_id)")
    op.execute("CREATE INDEX sale_by_customer ON sales.sale (customer_id, create_time) WHERE customer_id <> ''")


def downgrade() -> None:
    op.execute("DROP TABLE sales.sale_line, sales.sale, sales.request")
