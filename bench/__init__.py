"""Measurements against peers: two sides interleaved in one run, told as ratios."""
