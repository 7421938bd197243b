"""The star schema: each dimension and aggregate from the facts, DataFrame -> DataFrame."""

from pyspark.sql import DataFrame
from pyspark.sql.connect import functions as F  # noqa: N812

_IS_SALE = F.col("kind") == "SALE"
_REVENUE = F.sum("amount").cast("decimal(28, 4)")


def products(silver: DataFrame) -> DataFrame:
    """dim_product, from silver, which has the descriptions."""
    sold = _IS_SALE & (F.col("unit_price") > 0)
    facts = silver.groupBy("stock_code").agg(
        F.first("is_product").alias("is_product"),
        F.max_by("unit_price", F.when(sold, F.struct("invoice_time", "row_id"))).alias("unit_price"),
        F.sum("quantity").cast("bigint").alias("units_sold"),
        F.min(F.when(_IS_SALE, F.col("date"))).alias("first_sold"),
        F.max(F.when(_IS_SALE, F.col("date"))).alias("last_sold"),
    )
    uses = (
        silver.where(_IS_SALE & F.col("description").isNotNull())
        .groupBy("stock_code", "description")
        .agg(F.count("*").alias("uses"), F.max("invoice_time").alias("last_use"))
    )
    commonest = uses.groupBy("stock_code").agg(
        F.max_by("description", F.struct("uses", "last_use", "description")).alias("description")
    )
    return facts.join(commonest, "stock_code", how="left").select(
        "stock_code", "description", "is_product", "unit_price", "units_sold", "first_sold", "last_sold"
    )


def customers(facts: DataFrame) -> DataFrame:
    newest = facts.agg(F.max("date").alias("newest"))
    known = facts.where(F.col("customer_id").isNotNull())
    return (
        known.groupBy("customer_id")
        .agg(
            F.max_by("country", F.struct("invoice_time", "row_id")).alias("country"),
            F.min(F.when(_IS_SALE, F.col("date"))).alias("first_order"),
            F.max(F.when(_IS_SALE, F.col("date"))).alias("last_order"),
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


def countries(facts: DataFrame) -> DataFrame:
    return facts.groupBy("country").agg(
        F.min("date").alias("first_date"),
        F.max("date").alias("last_date"),
        F.count_distinct("customer_id").alias("customer_count"),
        _REVENUE.alias("revenue"),
    )


def dates(facts: DataFrame) -> DataFrame:
    """Every day from the first to the last."""
    span = facts.agg(F.min("date").alias("first"), F.max("date").alias("last")).where(F.col("first").isNotNull())
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


def monthly_revenue(facts: DataFrame) -> DataFrame:
    return facts.groupBy("month", "country").agg(
        _REVENUE.alias("revenue"),
        F.sum("quantity").cast("bigint").alias("quantity"),
        F.count_distinct("invoice_no").alias("invoice_count"),
        F.count("*").alias("row_count"),
    )
