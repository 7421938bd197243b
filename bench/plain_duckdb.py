"""The same tables in one process: DuckDB for the transforms, delta-rs for the tables. No cluster could run this.

The rules of docs/dialect.md and the tables of docs/lake.md, as far as files of sound CSV in UTF-8 need them.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb
from deltalake import DeltaTable, write_deltalake

_CLEAN = r"""
CREATE TABLE clean AS
SELECT *, CASE
    WHEN invoice IS NULL OR NOT regexp_full_match(invoice, '[CA]?[0-9]{6}') THEN 'INVOICE_INVALID'
    WHEN stock IS NULL OR NOT regexp_full_match(stock, '[A-Z0-9 ._-]{1,32}') THEN 'STOCK_CODE_INVALID'
    WHEN qty IS NULL OR qty = 0 OR (invoice[1] = 'C' AND qty > 0) THEN 'QUANTITY_INVALID'
    WHEN moment IS NULL OR year(moment) NOT BETWEEN 1990 AND 2100 THEN 'DATE_INVALID'
    WHEN price IS NULL OR abs(price) >= 1000000000 OR (price < 0 AND invoice[1] <> 'A') THEN 'PRICE_INVALID'
    WHEN customer_text IS NOT NULL AND customer IS NULL THEN 'CUSTOMER_INVALID'
    WHEN land IS NULL OR length(land) > 64 THEN 'COUNTRY_INVALID'
    END AS reason
FROM (
    SELECT *,
        nullif(upper(trim(InvoiceNo)), '') AS invoice, nullif(upper(trim(StockCode)), '') AS stock,
        left(regexp_replace(nullif(trim(Description), ''), '\s+', ' ', 'g'), 256) AS words,
        CASE WHEN regexp_full_match(trim(Quantity), '[+-]?[0-9]{1,10}(\.0*)?')
            THEN try_cast(split_part(trim(Quantity), '.', 1) AS INTEGER) END AS qty,
        try_strptime(trim(InvoiceDate),
            ['%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M', '%Y-%m-%dT%H:%M:%S', '%m/%d/%Y %H:%M']) AS moment,
        CASE WHEN regexp_full_match(trim(UnitPrice), '[+-]?[0-9]+(\.[0-9]{0,4}0*)?')
            THEN try_cast(trim(UnitPrice) AS DECIMAL(18, 4)) END AS price,
        nullif(trim(CustomerID), '') AS customer_text,
        CASE WHEN regexp_full_match(trim(CustomerID), '[0-9]{1,10}(\.0*)?')
            THEN split_part(trim(CustomerID), '.', 1) END AS customer,
        nullif(trim(Country), '') AS land
    FROM bronze)"""
_QUARANTINE = "SELECT * FROM clean WHERE reason IS NOT NULL"
_SALES = """
SELECT DISTINCT ON (row_id)
    sha256(to_json([invoice, stock, words, qty::VARCHAR, moment::VARCHAR, price::VARCHAR, customer, land])::VARCHAR)
        AS row_id,
    invoice AS invoice_no,
    CASE WHEN invoice[1] = 'C' THEN 'CANCELLATION' WHEN invoice[1] = 'A' OR qty < 0 THEN 'ADJUSTMENT' ELSE 'SALE' END
        AS kind,
    moment AS invoice_time, moment::DATE AS date, strftime(moment, '%Y-%m') AS month, stock AS stock_code,
    words AS description, regexp_matches(stock, '^([0-9]{5}|DCGS|PADS$)') AS is_product, customer AS customer_id,
    land AS country, qty AS quantity, price AS unit_price, CAST(qty * price AS DECIMAL(24, 4)) AS amount,
    'GBP' AS currency_code, file AS file_id
FROM clean WHERE reason IS NULL"""
_GOLD = {
    "dim_product": """
        SELECT a.stock_code, b.description, a.* EXCLUDE (stock_code) FROM (
            SELECT stock_code, first(is_product) AS is_product,
                arg_max(unit_price, (invoice_time, row_id)) FILTER (kind = 'SALE' AND unit_price > 0) AS unit_price,
                sum(quantity)::BIGINT AS units_sold, min(date) FILTER (kind = 'SALE') AS first_sold,
                max(date) FILTER (kind = 'SALE') AS last_sold
            FROM silver GROUP BY stock_code) a
        LEFT JOIN (
            SELECT stock_code, arg_max(description, (uses, last_use, description)) AS description FROM (
                SELECT stock_code, description, count(*) AS uses, max(invoice_time) AS last_use FROM silver
                WHERE kind = 'SALE' AND description IS NOT NULL GROUP BY ALL) GROUP BY stock_code) b
        USING (stock_code)""",
    "dim_customer": """
        SELECT customer_id, arg_max(country, (invoice_time, row_id)) AS country,
            min(date) FILTER (kind = 'SALE') AS first_order, max(date) FILTER (kind = 'SALE') AS last_order,
            count(DISTINCT invoice_no) FILTER (kind = 'SALE') AS invoice_count,
            sum(amount)::DECIMAL(28, 4) AS revenue,
            ((SELECT max(date) FROM fact) - max(date) FILTER (kind = 'SALE'))::INTEGER AS recency_days
        FROM fact WHERE customer_id IS NOT NULL GROUP BY customer_id""",
    "dim_country": """
        SELECT country, min(date) AS first_date, max(date) AS last_date, count(DISTINCT customer_id) AS customer_count,
            sum(amount)::DECIMAL(28, 4) AS revenue
        FROM fact GROUP BY country""",
    "dim_date": """
        SELECT date, year(date)::INTEGER AS year, quarter(date)::INTEGER AS quarter, strftime(date, '%Y-%m') AS month,
            day(date)::INTEGER AS day, week(date)::INTEGER AS iso_week, isodow(date)::INTEGER AS day_of_week
        FROM (SELECT unnest(generate_series(min(date), max(date), INTERVAL 1 DAY))::DATE AS date FROM fact)""",
    "monthly_revenue": """
        SELECT month, country, sum(amount)::DECIMAL(28, 4) AS revenue, sum(quantity)::BIGINT AS quantity,
            count(DISTINCT invoice_no) AS invoice_count, count(*) AS row_count
        FROM fact GROUP BY month, country""",
}


def load(files: Sequence[Path], lake: Path) -> None:
    """Files to gold in an empty or filled `lake`; what it holds already is not added again."""
    with duckdb.connect() as database:
        database.execute(
            """CREATE TABLE bronze AS SELECT * EXCLUDE (filename), filename AS file FROM read_csv(
                ?, header = true, all_varchar = true, delim = ',', quote = '"', escape = '"', filename = true)""",
            [[str(file) for file in files]],
        )
        _append(database, lake / "bronze", "FROM bronze", "file")
        database.execute(_CLEAN)
        _append(database, lake / "quarantine", _QUARANTINE, "file")
        _append(database, lake / "silver", _SALES, "row_id")
        database.register("silver", DeltaTable(lake / "silver").to_pyarrow_dataset())
        _append(database, lake / "gold" / "fact_sale", "SELECT * EXCLUDE (description) FROM silver", "row_id")
        database.register("fact", DeltaTable(lake / "gold" / "fact_sale").to_pyarrow_dataset())
        for name, query in _GOLD.items():
            write_deltalake(lake / "gold" / name, database.sql(query).to_arrow_table(), mode="overwrite")


def _append(database: duckdb.DuckDBPyConnection, table: Path, query: str, key: str) -> None:
    """The rows whose `key` the table has not."""
    held = DeltaTable.is_deltatable(str(table))
    if held:
        database.register("known", DeltaTable(table).to_pyarrow_dataset())
        query = f"FROM ({query}) ANTI JOIN known USING ({key})"
    rows = database.sql(query).to_arrow_table()
    if rows.num_rows or not held:
        write_deltalake(table, rows, mode="append")
