"""From a row as it came to a row of silver, or to the reason why it is quarantined (docs/dialect.md).

Each function is DataFrame -> DataFrame, its `select` at the end the schema that it promises.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql.connect import functions as F  # noqa: N812 - as all of Spark has it
from pyspark.sql.connect.window import Window

_FIRST_YEAR, _LAST_YEAR = 1990, 2100
_PRICE_LIMIT = 1_000_000_000
_CURRENCY = "GBP"
_TIME_FORMATS = ("yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm", "yyyy-MM-dd'T'HH:mm:ss", "M/d/yyyy H:mm")


def cleaned(rows: DataFrame) -> DataFrame:
    """Rows of bronze with their typed fields, and `reason`: NULL where the row is sound."""
    texts = rows.select(
        "file_id",
        "position",
        "filename",
        "row_number",
        "malformed",
        _fields().alias("fields"),
        F.upper(_trimmed("invoice_no")).alias("invoice_no"),
        F.upper(_trimmed("stock_code")).alias("stock_code"),
        F.substring(F.regexp_replace(_trimmed("description"), r"\s+", " "), 1, 256).alias("description"),
        _trimmed("quantity").alias("quantity"),
        _trimmed("invoice_date").alias("invoice_date"),
        _trimmed("unit_price").alias("unit_price"),
        _trimmed("customer_id").alias("customer_id"),
        _trimmed("country").alias("country"),
    )
    typed = texts.withColumns(
        {
            "quantity": F.when(
                F.col("quantity").rlike(r"^[+-]?[0-9]{1,10}(\.0*)?$"),
                F.regexp_replace("quantity", r"\..*$", "").try_cast("int"),
            ),
            "invoice_time": F.coalesce(
                *(F.try_to_timestamp("invoice_date", F.lit(pattern)) for pattern in _TIME_FORMATS)
            ),
            "unit_price": F.when(
                F.col("unit_price").rlike(r"^[+-]?[0-9]+(\.[0-9]{0,4}0*)?$"),
                F.col("unit_price").try_cast("decimal(18, 4)"),
            ),
            "customer": F.when(
                F.col("customer_id").rlike(r"^[0-9]{1,10}(\.0*)?$"), F.regexp_replace("customer_id", r"\..*$", "")
            ),
        }
    )
    return typed.select(
        "file_id",
        "position",
        "filename",
        "row_number",
        "fields",
        _reason().alias("reason"),
        "invoice_no",
        "invoice_time",
        "stock_code",
        "description",
        F.col("customer").alias("customer_id"),
        "country",
        "quantity",
        "unit_price",
    )


def sales(rows: DataFrame, job_id: str) -> DataFrame:
    """The sound rows of `cleaned` in the columns of silver/sale_row, the first of equal ones."""
    sound = rows.where(F.col("reason").isNull()).withColumn("row_id", _row_id())
    first = Window.partitionBy("row_id").orderBy("position", "row_number")
    date = F.to_date("invoice_time")
    return (
        sound.withColumn("place", F.row_number().over(first))
        .where(F.col("place") == 1)
        .select(
            "row_id",
            "invoice_no",
            _kind().alias("kind"),
            "invoice_time",
            date.alias("date"),
            F.date_format("invoice_time", "yyyy-MM").alias("month"),
            "stock_code",
            "description",
            F.col("stock_code").rlike("^([0-9]{5}|DCGS|PADS$)").alias("is_product"),
            "customer_id",
            "country",
            "quantity",
            "unit_price",
            (F.col("quantity") * F.col("unit_price")).cast("decimal(24, 4)").alias("amount"),
            F.lit(_CURRENCY).alias("currency_code"),
            F.lit(job_id).alias("job_id"),
            "file_id",
            "row_number",
        )
    )


def quarantined(rows: DataFrame, job_id: str) -> DataFrame:
    """The other rows of `cleaned`, in the columns of silver/quarantined_row."""
    return rows.where(F.col("reason").isNotNull()).select(
        "file_id",
        "row_number",
        "reason",
        "fields",
        "filename",
        F.lit(job_id).alias("job_id"),
        F.current_timestamp().alias("load_time"),
    )


def _trimmed(name: str) -> Column:
    return F.nullif(F.regexp_replace(name, r"^\s+|\s+$", ""), F.lit(""))


def _reason() -> Column:
    invoice, quantity, price = F.col("invoice_no"), F.col("quantity"), F.col("unit_price")
    year = F.year("invoice_time")
    broken = {
        "ROW_MALFORMED": F.col("malformed"),
        "INVOICE_INVALID": ~_is(invoice.rlike("^[CA]?[0-9]{6}$")),
        "STOCK_CODE_INVALID": ~_is(F.col("stock_code").rlike("^[A-Z0-9 ._-]{1,32}$")),
        "QUANTITY_INVALID": ~_is((quantity != 0) & (~invoice.startswith("C") | (quantity < 0))),
        "DATE_INVALID": ~_is(year.between(_FIRST_YEAR, _LAST_YEAR)),
        "PRICE_INVALID": ~_is((F.abs(price) < _PRICE_LIMIT) & (invoice.startswith("A") | (price >= 0))),
        "CUSTOMER_INVALID": F.col("customer_id").isNotNull() & F.col("customer").isNull(),
        "COUNTRY_INVALID": ~_is(F.length("country") <= 64),
    }
    reason = F.lit(None).cast("string")
    for name, breaks in reversed(broken.items()):
        reason = F.when(breaks, F.lit(name)).otherwise(reason)
    return reason


def _is(condition: Column) -> Column:
    """False where it is NULL."""
    return F.coalesce(condition, F.lit(False))


def _kind() -> Column:
    letter = F.substring("invoice_no", 1, 1)
    return (
        F.when(letter == "C", "CANCELLATION")
        .when((letter == "A") | (F.col("quantity") < 0), "ADJUSTMENT")
        .otherwise("SALE")
    )


def _row_id() -> Column:
    """Of every field after cleaning; JSON, because no text in a field can look like the border of two."""
    fields = F.struct(
        "invoice_no", "stock_code", "description", "quantity", "invoice_time", "unit_price", "customer_id", "country"
    )
    return F.sha2(F.to_json(fields), 256)


def _fields() -> Column:
    """What the row had, by column name."""
    names = {
        "InvoiceNo": "invoice_no",
        "StockCode": "stock_code",
        "Description": "description",
        "Quantity": "quantity",
        "InvoiceDate": "invoice_date",
        "UnitPrice": "unit_price",
        "CustomerID": "customer_id",
        "Country": "country",
    }
    pairs = [part for shown, name in names.items() for part in (F.lit(shown), F.col(name))]
    present = F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
    none = F.map_from_arrays(F.array().cast("array<string>"), F.array().cast("array<string>"))
    return F.map_concat(present, F.coalesce("further", none))
