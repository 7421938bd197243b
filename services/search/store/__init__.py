"""The full-text index, and the lake it is made from."""
