"""The same tables by a plain script, as a data engineer writes one for a single load: no upload, no service, no jobs.

The rules of docs/dialect.md and the tables of docs/lake.md, MERGE included; straight from the CSV files.
"""

from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql.connect.session import SparkSession

_COLUMNS = """
InvoiceNo STRING, StockCode STRING, Description STRING, Quantity STRING, InvoiceDate STRING, UnitPrice STRING,
CustomerID STRING, Country STRING, broken STRING"""
_CLEAN = r"""
SELECT *, CASE
    WHEN broken IS NOT NULL THEN 'ROW_MALFORMED'
    WHEN NOT coalesce(invoice RLIKE '^[CA]?[0-9]{6}$', FALSE) THEN 'INVOICE_INVALID'
    WHEN NOT coalesce(stock RLIKE '^[A-Z0-9 ._-]{1,32}$', FALSE) THEN 'STOCK_CODE_INVALID'
    WHEN NOT coalesce(qty <> 0 AND (invoice NOT LIKE 'C%' OR qty < 0), FALSE) THEN 'QUANTITY_INVALID'
    WHEN NOT coalesce(year(moment) BETWEEN 1990 AND 2100, FALSE) THEN 'DATE_INVALID'
    WHEN NOT coalesce(abs(price) < 1000000000 AND (invoice LIKE 'A%' OR price >= 0), FALSE) THEN 'PRICE_INVALID'
    WHEN customer_text IS NOT NULL AND customer IS NULL THEN 'CUSTOMER_INVALID'
    WHEN NOT coalesce(length(land) <= 64, FALSE) THEN 'COUNTRY_INVALID'
    END AS reason
FROM (
    SELECT *,
        nullif(upper(trim(InvoiceNo)), '') AS invoice, nullif(upper(trim(StockCode)), '') AS stock,
        left(regexp_replace(nullif(trim(Description), ''), '\\s+', ' '), 256) AS words,
        CASE WHEN trim(Quantity) RLIKE '^[+-]?[0-9]{1,10}(\\.0*)?$'
            THEN try_cast(regexp_replace(trim(Quantity), '\\..*$', '') AS INT) END AS qty,
        coalesce(try_to_timestamp(trim(InvoiceDate), 'yyyy-MM-dd HH:mm:ss'),
            try_to_timestamp(trim(InvoiceDate), 'yyyy-MM-dd HH:mm'),
            try_to_timestamp(trim(InvoiceDate), "yyyy-MM-dd'T'HH:mm:ss"),
            try_to_timestamp(trim(InvoiceDate), 'M/d/yyyy H:mm')) AS moment,
        CASE WHEN trim(UnitPrice) RLIKE '^[+-]?[0-9]+(\\.[0-9]{0,4}0*)?$'
            THEN try_cast(trim(UnitPrice) AS DECIMAL(18, 4)) END AS price,
        nullif(trim(CustomerID), '') AS customer_text,
        CASE WHEN trim(CustomerID) RLIKE '^[0-9]{1,10}(\\.0*)?$'
            THEN regexp_replace(trim(CustomerID), '\\..*$', '') END AS customer,
        nullif(trim(Country), '') AS land
    FROM rows)"""
_SALES = """
SELECT sha2(to_json(struct(invoice, stock, words, qty, moment, price, customer, land)), 256) AS row_id,
    invoice AS invoice_no,
    CASE WHEN invoice LIKE 'C%' THEN 'CANCELLATION' WHEN invoice LIKE 'A%' OR qty < 0 THEN 'ADJUSTMENT' ELSE 'SALE' END
        AS kind,
    moment AS invoice_time, to_date(moment) AS date, date_format(moment, 'yyyy-MM') AS month, stock AS stock_code,
    words AS description, stock RLIKE '^([0-9]{5}|DCGS|PADS$)' AS is_product, customer AS customer_id, land AS country,
    qty AS quantity, price AS unit_price, CAST(qty * price AS DECIMAL(24, 4)) AS amount, 'GBP' AS currency_code,
    file AS file_id
FROM clean WHERE reason IS NULL"""
_GOLD = {
    "dim_product": (
        "stock_code",
        """
        SELECT a.*, b.description FROM (
            SELECT stock_code, first(is_product) AS is_product,
                max_by(unit_price, CASE WHEN kind = 'SALE' AND unit_price > 0 THEN struct(invoice_time, row_id) END)
                    AS unit_price,
                sum(quantity) AS units_sold, min(CASE WHEN kind = 'SALE' THEN date END) AS first_sold,
                max(CASE WHEN kind = 'SALE' THEN date END) AS last_sold
            FROM silver GROUP BY stock_code) a
        LEFT JOIN (
            SELECT stock_code, max_by(description, struct(uses, last_use, description)) AS description FROM (
                SELECT stock_code, description, count(*) AS uses, max(invoice_time) AS last_use FROM silver
                WHERE kind = 'SALE' AND description IS NOT NULL GROUP BY ALL) GROUP BY stock_code) b
        USING (stock_code)""",
    ),
    "dim_customer": (
        "customer_id",
        """
        SELECT customer_id, max_by(country, struct(invoice_time, row_id)) AS country,
            min(CASE WHEN kind = 'SALE' THEN date END) AS first_order,
            max(CASE WHEN kind = 'SALE' THEN date END) AS last_order,
            count(DISTINCT CASE WHEN kind = 'SALE' THEN invoice_no END) AS invoice_count,
            CAST(sum(amount) AS DECIMAL(28, 4)) AS revenue,
            datediff((SELECT max(date) FROM fact), max(CASE WHEN kind = 'SALE' THEN date END)) AS recency_days
        FROM fact WHERE customer_id IS NOT NULL GROUP BY customer_id""",
    ),
    "dim_country": (
        "country",
        """
        SELECT country, min(date) AS first_date, max(date) AS last_date, count(DISTINCT customer_id) AS customer_count,
            CAST(sum(amount) AS DECIMAL(28, 4)) AS revenue
        FROM fact GROUP BY country""",
    ),
    "dim_date": (
        "date",
        """
        SELECT date, year(date) AS year, quarter(date) AS quarter, date_format(date, 'yyyy-MM') AS month,
            day(date) AS day, weekofyear(date) AS iso_week, weekday(date) + 1 AS day_of_week
        FROM (SELECT explode(sequence(min(date), max(date))) AS date FROM fact)""",
    ),
    "monthly_revenue": (
        "month, country",
        """
        SELECT month, country, CAST(sum(amount) AS DECIMAL(28, 4)) AS revenue, sum(quantity) AS quantity,
            count(DISTINCT invoice_no) AS invoice_count, count(*) AS row_count
        FROM fact GROUP BY month, country""",
    ),
}


def load(remote: str, files: Sequence[Path], lake: Path) -> None:
    """Files to gold in an empty or filled `lake`; what it holds already is not added again."""
    spark = SparkSession.builder.remote(remote).create()
    try:
        _load(spark, files, lake)
    finally:
        spark.stop()


def _load(spark: SparkSession, files: Sequence[Path], lake: Path) -> None:
    names = [file.name for file in files]
    known: set[str] = set()
    if (lake / "bronze").exists():
        bronze = spark.read.format("delta").load(f"{lake}/bronze")
        known = {row.file for row in bronze.where(bronze.file.isin(names)).select("file").distinct().collect()}
    if new := [str(file) for file in files if file.name not in known]:
        rows = spark.read.csv(new, header=True, schema=_COLUMNS, multiLine=True, escape='"',
                              columnNameOfCorruptRecord="broken")  # fmt: skip
        rows.selectExpr("*", "_metadata.file_name AS file").write.format("delta").mode("append").save(f"{lake}/bronze")
    bronze = spark.read.format("delta").load(f"{lake}/bronze")
    bronze.where(bronze.file.isin(names)).createOrReplaceTempView("rows")
    clean = spark.sql(_CLEAN).persist()
    clean.createOrReplaceTempView("clean")
    spark.sql("SELECT file, reason, count(*) FROM clean GROUP BY ALL").collect()  # the report
    _merge(spark, f"{lake}/quarantine", spark.sql("SELECT * FROM clean WHERE reason IS NOT NULL"), "file")
    _merge(spark, f"{lake}/silver", spark.sql(_SALES).dropDuplicates(["row_id"]), "row_id")
    clean.unpersist()
    spark.read.format("delta").load(f"{lake}/silver").createOrReplaceTempView("silver")
    _merge(spark, f"{lake}/gold/fact_sale", spark.table("silver").drop("description"), "row_id")
    spark.read.format("delta").load(f"{lake}/gold/fact_sale").createOrReplaceTempView("fact")
    for name, (keys, query) in _GOLD.items():
        _merge(spark, f"{lake}/gold/{name}", spark.sql(query), keys, "WHEN MATCHED THEN UPDATE SET *")


def _merge(spark: SparkSession, path: str, rows: DataFrame, keys: str, matched: str = "") -> None:
    if not Path(path).exists():
        rows.limit(0).write.format("delta").save(path)
    rows.createOrReplaceTempView("new")
    same = " AND ".join(f"t.{key} = s.{key}" for key in keys.split(", "))
    spark.sql(f"MERGE INTO delta.`{path}` t USING new s ON {same} {matched} WHEN NOT MATCHED THEN INSERT *").collect()
