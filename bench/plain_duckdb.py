"""The same figures in one process: DuckDB for the rules, delta-rs for the tables. No cluster could run this."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
from deltalake import write_deltalake

from demo import recompute

_GOLD = {
    "fact_sale": "FROM facts",
    "dim_product": """
        SELECT stock, mode(description) AS description, sum(quantity) AS units_sold, min(moment) AS first_sold,
            max(moment) AS last_sold
        FROM facts GROUP BY stock""",
    "dim_customer": """
        SELECT customer, count(DISTINCT invoice) AS invoices, sum(amount) AS revenue FROM facts GROUP BY ALL""",
    "dim_country": """
        SELECT country, count(DISTINCT customer) AS customers, sum(amount) AS revenue FROM facts GROUP BY ALL""",
    "dim_date": "SELECT unnest(generate_series(min(moment), max(moment), INTERVAL 1 DAY)) AS date FROM facts",
    "monthly_revenue": """
        SELECT month, country, sum(amount) AS revenue, count(DISTINCT invoice) AS invoices, count(*) AS rows
        FROM facts GROUP BY ALL""",
}


def load(files: Sequence[Path], lake: Path) -> None:
    """Files to gold in an empty `lake`."""
    with duckdb.connect() as database:
        recompute.judge(database, {recompute.digest(path): path for path in files})
        for name, query in ({"bronze": "FROM records", "silver": "FROM judged"} | _GOLD).items():
            write_deltalake(lake / name, database.sql(query).to_arrow_table(), mode="overwrite")
