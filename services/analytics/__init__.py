"""Answers questions about revenue from the gold tables of the lake."""
