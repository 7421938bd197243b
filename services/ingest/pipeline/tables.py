"""The Delta tables that the pipeline writes (docs/lake.md), made from their schema before the first row."""

from services.lakehouse import DIM_COUNTRY, DIM_CUSTOMER, DIM_DATE, DIM_PRODUCT, FACT_SALE, MONTHLY_REVENUE

RETAIL_ROW = "bronze/retail_row"
SALE_ROW = "silver/sale_row"
QUARANTINED_ROW = "silver/quarantined_row"
GOLD = (FACT_SALE, DIM_PRODUCT, DIM_CUSTOMER, DIM_COUNTRY, DIM_DATE, MONTHLY_REVENUE)

LANDED_ROW = """
    row_number BIGINT, invoice_no STRING, stock_code STRING, description STRING, quantity STRING, invoice_date STRING,
    unit_price STRING, customer_id STRING, country STRING, further MAP<STRING, STRING>, malformed BOOLEAN, raw STRING"""
_SALE = """
    row_id STRING, invoice_no STRING, kind STRING, invoice_time TIMESTAMP, date DATE, month STRING, stock_code STRING,
    {description}is_product BOOLEAN, customer_id STRING, country STRING, quantity INT, unit_price DECIMAL(18, 4),
    amount DECIMAL(24, 4), currency_code STRING, job_id STRING, file_id STRING, row_number BIGINT"""
SCHEMAS = {
    RETAIL_ROW: f"file_id STRING, {LANDED_ROW}, filename STRING, job_id STRING, load_time TIMESTAMP",
    SALE_ROW: _SALE.format(description="description STRING, "),
    QUARANTINED_ROW: """
        file_id STRING, row_number BIGINT, reason STRING, fields MAP<STRING, STRING>, filename STRING, job_id STRING,
        load_time TIMESTAMP""",
    FACT_SALE: _SALE.format(description=""),
    DIM_PRODUCT: """
        stock_code STRING, description STRING, is_product BOOLEAN, unit_price DECIMAL(18, 4), units_sold BIGINT,
        first_sold DATE, last_sold DATE""",
    DIM_CUSTOMER: """
        customer_id STRING, country STRING, first_order DATE, last_order DATE, invoice_count BIGINT,
        revenue DECIMAL(28, 4), recency_days INT""",
    DIM_COUNTRY: """
        country STRING, first_date DATE, last_date DATE, customer_count BIGINT, revenue DECIMAL(28, 4)""",
    DIM_DATE: """
        date DATE, year INT, quarter INT, month STRING, day INT, iso_week INT, day_of_week INT""",
    MONTHLY_REVENUE: """
        month STRING, country STRING, revenue DECIMAL(28, 4), quantity BIGINT, invoice_count BIGINT,
        row_count BIGINT""",
}
