"""Takes files of retail transactions to the lake."""
