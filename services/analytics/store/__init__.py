"""Editions of the gold tables, each held in a DuckDB of its own, and the SQL that answers from them."""
