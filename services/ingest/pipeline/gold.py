"""The star schema: each dimension and aggregate from the facts, DataFrame -> DataFrame.

The first aggregate of each has numbers only, which Spark can hash; for a text it sorts all rows. Few are left after it.
"""

from pyspark.sql import DataFrame
from pyspark.sql.connect import functions as F  # noqa: N812

_IS_SALE = F.col("kind") == "SALE"
_REVENUE = F.sum("amount").cast("decimal(28, 4)")


def invoices(facts: DataFrame) -> DataFrame:
    """The facts, summed up as far as all but `products` can do with: one row for the lines of an invoice of a day."""
    return facts.groupBy("invoice_no", "kind", "customer_id", "country", "month", "date").agg(
        F.max("invoice_time").alias("invoice_time"),
        F.sum("amount").alias("amount"),
        F.sum("quantity").alias("quantity"),
        F.count("*").alias("row_count"),
    )


def products(facts: DataFrame, silver: DataFrame) -> DataFrame:
    """dim_product; the descriptions are in silver."""
    sold_at = F.when(_IS_SALE & (F.col("unit_price") > 0), F.col("invoice_time"))
    sold_on = F.when(_IS_SALE, F.col("date"))
    by_price = facts.groupBy("stock_code", "is_product", "unit_price").agg(
        F.max(sold_at).alias("sold_at"),
        F.sum("quantity").alias("quantity"),
        F.min(sold_on).alias("first_sold"),
        F.max(sold_on).alias("last_sold"),
    )
    latest = F.when(F.col("sold_at").isNotNull(), F.struct("sold_at", "unit_price"))
    figures = by_price.groupBy("stock_code", "is_product").agg(
        F.max_by("unit_price", latest).alias("unit_price"),
        F.sum("quantity").alias("units_sold"),
        F.min("first_sold").alias("first_sold"),
        F.max("last_sold").alias("last_sold"),
    )
    uses = (
        silver.where(_IS_SALE & F.col("description").isNotNull())
        .groupBy("stock_code", "description")
        .agg(F.count("*").alias("uses"), F.max("invoice_time").alias("last_use"))
    )
    commonest = uses.groupBy("stock_code").agg(
        F.max_by("description", F.struct("uses", "last_use", "description")).alias("description")
    )
    return figures.join(commonest, "stock_code", how="left").select(
        "stock_code", "description", "is_product", "unit_price", "units_sold", "first_sold", "last_sold"
    )


def customers(invoices: DataFrame) -> DataFrame:
    newest = invoices.agg(F.max("date").alias("newest"))
    ordered_on = F.when(_IS_SALE, F.col("date"))
    return (
        invoices.where(F.col("customer_id").isNotNull())
        .groupBy("customer_id")
        .agg(
            F.max_by("country", F.struct("invoice_time", "invoice_no", "country")).alias("country"),
            F.min(ordered_on).alias("first_order"),
            F.max(ordered_on).alias("last_order"),
            F.count_distinct(F.when(_IS_SALE, F.col("invoice_no"))).alias("invoice_count"),
            _REVENUE.alias("revenue"),
        )
        .join(newest, how="cross")
        .select(
            "customer_id",
            "country",
            "first_order",
            "last_order",
            "invoice_count",
            "revenue",
            F.datediff("newest", "last_order").alias("recency_days"),
        )
    )


def countries(invoices: DataFrame) -> DataFrame:
    return invoices.groupBy("country").agg(
        F.min("date").alias("first_date"),
        F.max("date").alias("last_date"),
        F.count_distinct("customer_id").alias("customer_count"),
        _REVENUE.alias("revenue"),
    )


def dates(invoices: DataFrame) -> DataFrame:
    """Every day from the first to the last."""
    span = invoices.agg(F.min("date").alias("first"), F.max("date").alias("last")).where(F.col("first").isNotNull())
    days = span.select(F.explode(F.sequence("first", "last")).alias("date"))
    return days.select(
        "date",
        F.year("date").alias("year"),
        F.quarter("date").alias("quarter"),
        F.date_format("date", "yyyy-MM").alias("month"),
        F.dayofmonth("date").alias("day"),
        F.weekofyear("date").alias("iso_week"),
        (F.weekday("date") + 1).alias("day_of_week"),
    )


def monthly_revenue(invoices: DataFrame) -> DataFrame:
    return invoices.groupBy("month", "country").agg(
        _REVENUE.alias("revenue"),
        F.sum("quantity").alias("quantity"),
        F.count_distinct("invoice_no").alias("invoice_count"),
        F.sum("row_count").alias("row_count"),
    )
