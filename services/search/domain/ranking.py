"""How matches rank.

Each word of a query scores by the best way in which it matches a product, and a product by the sum over all words: it
must match every one. The ways are so far apart that for one word neither the text's own relevance nor popularity lifts
a match over a better kind of match; among equals the shorter description and the product that sells more come first.
"""

from math import log1p

STOCK_CODE = 40.0
"""The word is the product's stock code."""
WORD = 8.0
"""The word stands in the description, accents and case aside."""
STEM = 5.0
"""Another form of it does: `candles` for `candle`."""
STOCK_CODE_BEGUN = 4.0
"""The stock code begins with it."""
WORD_BEGUN = 3.0
"""A word of the description begins with it."""
MISSPELT = 1.0
"""A word of the description is one letter away: changed, missing, added or swapped with its neighbour."""

PHRASE = 2.0
"""On top, where the words stand side by side as in the query."""
RELEVANCE = 0.1
"""Weight of BM25, at most about 30, on top of WORD."""
POPULARITY = 0.2
"""What the product that sells most gets on top, as a share of its score."""

MISSPELT_FROM = 4
"""Letters that a word must have before a misspelling is looked for: `red` is no misspelt `bed`."""


def popularity(units_sold: int, most_sold: int) -> float:
    """The factor of a product's score, from 1 to 1 + POPULARITY. Logarithmic: a mild boost."""
    if units_sold <= 0 or most_sold <= 0:
        return 1.0
    return 1.0 + POPULARITY * log1p(units_sold) / log1p(most_sold)


def may_be_misspelt(word: str) -> bool:
    """Numbers and codes are never taken for one another."""
    return len(word) >= MISSPELT_FROM and word.isalpha()
