"""Finds products of the lake by words, begun words, misspelt words and stock codes."""
