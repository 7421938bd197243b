"""sales: the record of what was sold."""
