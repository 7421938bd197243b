"""From a row as it came to a row of silver, or to the reason why it is quarantined (docs/dialect.md).

Each function is DataFrame -> DataFrame, its `select` at the end the schema that it promises.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql.connect import functions as F  # noqa: N812 - as all of Spark has it
from pyspark.sql.connect.window import Window

_FIRST_YEAR, _LAST_YEAR = 1990, 2100
_CURRENCY = "GBP"
_SHOWN = {
    "invoice_no": "InvoiceNo",
    "stock_code": "StockCode",
    "description": "Description",
    "quantity": "Quantity",
    "invoice_date": "InvoiceDate",
    "unit_price": "UnitPrice",
    "customer_id": "CustomerID",
    "country": "Country",
}
"""The columns of the dialect as the lake names them, and as files do."""
_BLANKS = " \t\n\f\r"

# All end in \z: to Java, $ also matches before a last line break, of which it knows some that are no blanks here.
_INVOICE = r"^[CAca]?[0-9]{6}\z"
_STOCK_CODE = r"^[A-Za-z0-9 ._-]{1,32}\z"
_QUANTITY = r"^([+-]?[0-9]{1,10})(?:\.0*)?\z"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}(?::[0-9]{2})?|T[0-9]{2}:[0-9]{2}:[0-9]{2})\z"
_ORIGINAL_TIME = r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4} [0-9]{1,2}:[0-9]{2}\z"
# Without what follows the fourth decimal: a cast takes 10 s for a million zeros.
_PRICE = r"^([+-]?0*[0-9]{1,9}(?:\z|\.[0-9]{0,4}))0*\z"
_CUSTOMER = r"^([0-9]{1,10})(?:\.0*)?\z"


def cleaned(rows: DataFrame) -> DataFrame:
    """Rows of bronze with their typed fields, and `reason`: NULL where the row is sound."""
    invoice, stock, day = _trimmed("invoice_no"), _trimmed("stock_code"), _trimmed("invoice_date")
    customer, country = _trimmed("customer_id"), _trimmed("country")
    words = F.regexp_replace(_trimmed("description"), f"[{_BLANKS}]+", " ")
    typed = rows.select(
        "file_id",
        "position",
        "filename",
        "row_number",
        "malformed",
        F.struct(*_SHOWN, "further").alias("came"),
        (customer != "").alias("has_customer"),
        # NULL from here on: there is nothing, or it has not the right form.
        F.when(invoice.rlike(_INVOICE), F.upper(invoice)).alias("invoice_no"),
        # A date that a pattern does not fit costs an exception, so each is tried only on texts of its form.
        F.when(day.rlike(_TIME), day.try_cast("timestamp"))
        .when(day.rlike(_ORIGINAL_TIME), F.try_to_timestamp(day, F.lit("M/d/yyyy H:mm")))
        .alias("invoice_time"),
        F.when(stock.rlike(_STOCK_CODE), F.upper(stock)).alias("stock_code"),
        F.nullif(F.substring(words, 1, 256), F.lit("")).alias("description"),
        F.nullif(F.regexp_extract(customer, _CUSTOMER, 1), F.lit("")).alias("customer_id"),
        F.when(F.length(country).between(1, 64), country).alias("country"),
        F.regexp_extract(_trimmed("quantity"), _QUANTITY, 1).try_cast("int").alias("quantity"),
        F.regexp_extract(_trimmed("unit_price"), _PRICE, 1).try_cast("decimal(18, 4)").alias("unit_price"),
    )
    return typed.withColumn("reason", _reason()).select(
        "file_id",
        "position",
        "filename",
        "row_number",
        "reason",
        F.when(F.col("reason").isNotNull(), _fields()).alias("fields"),
        "invoice_no",
        "invoice_time",
        "stock_code",
        "description",
        "customer_id",
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
            F.col("stock_code").rlike(r"^(?:[0-9]{5}|DCGS|PADS\z)").alias("is_product"),
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
    return F.trim(name, F.lit(_BLANKS))  # a regular expression takes an hour for a million blanks


def _reason() -> Column:
    """The first rule that the row breaks."""
    invoice, quantity, price = F.col("invoice_no"), F.col("quantity"), F.col("unit_price")
    year = F.year("invoice_time")
    return (
        F.when(F.col("malformed"), "ROW_MALFORMED")
        .when(invoice.isNull(), "INVOICE_INVALID")
        .when(F.col("stock_code").isNull(), "STOCK_CODE_INVALID")
        .when(quantity.isNull() | (quantity == 0) | (invoice.startswith("C") & (quantity > 0)), "QUANTITY_INVALID")
        .when(year.isNull() | ~year.between(_FIRST_YEAR, _LAST_YEAR), "DATE_INVALID")
        .when(price.isNull() | (~invoice.startswith("A") & (price < 0)), "PRICE_INVALID")
        .when(F.col("has_customer") & F.col("customer_id").isNull(), "CUSTOMER_INVALID")
        .when(F.col("country").isNull(), "COUNTRY_INVALID")
    )


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
    pairs = [part for name, shown in _SHOWN.items() for part in (F.lit(shown), F.col(f"came.{name}"))]
    present = F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
    none = F.map_from_arrays(F.array().cast("array<string>"), F.array().cast("array<string>"))
    return F.map_concat(present, F.coalesce("came.further", none))
