"""Where ingest keeps things: files in the lake's landing area, jobs in PostgreSQL, schema `ingest`."""
