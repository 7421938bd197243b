"""Where sales are kept: PostgreSQL, schema `sales`."""
