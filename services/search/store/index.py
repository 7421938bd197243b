"""The full-text index, in memory: tantivy below the domain's ranking.

Queries are put together from terms, never parsed: tantivy's query language has no way in.
"""

import asyncio
from collections.abc import Sequence
from functools import cached_property

from tantivy import Document, Filter, Occur, Query, SchemaBuilder, TextAnalyzer, TextAnalyzerBuilder, Tokenizer
from tantivy import Index as TantivyIndex

from services.search.domain import ranking
from services.search.domain.products import Catalogue, Hit, Product

_WRITER_BYTES = 32 * 1024 * 1024

_SCHEMA = (
    SchemaBuilder()
    .add_text_field("word", tokenizer_name="word", index_option="position")
    .add_text_field("stem", tokenizer_name="stem", index_option="basic")
    .add_text_field("stock_code", tokenizer_name="raw", index_option="basic")
    .add_unsigned_field("place", fast=True)
    .add_float_field("popularity", fast=True)
    .build()
)


def _analyzer(*last: Filter) -> TextAnalyzer:
    builder = TextAnalyzerBuilder(Tokenizer.simple())
    for step in (Filter.lowercase(), Filter.ascii_fold(), *last):
        builder = builder.filter(step)
    return builder.build()


_WORDS = _analyzer()
_STEMS = _analyzer(Filter.stemmer("english"))


class ProductIndex:
    """An index of `products`; made by a thread, since that takes milliseconds for each thousand of them."""

    def __init__(self, catalogue: Catalogue, products: Sequence[Product]) -> None:
        self.catalogue = catalogue
        # Equal scores come in the order in which products were added.
        self._products = sorted(products, key=lambda product: (-product.units_sold, product.stock_code))
        self._index = TantivyIndex(_SCHEMA)
        self._index.register_tokenizer("word", _WORDS)
        self._index.register_tokenizer("stem", _STEMS)
        self._add_all()
        self._searcher = self._index.searcher()

    def _add_all(self) -> None:
        most_sold = self._products[0].units_sold if self._products else 0
        # One thread makes one segment, in which the order of adding is kept.
        writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)
        for place, product in enumerate(self._products):
            document = Document()
            document.add_text("word", product.description)
            document.add_text("stem", product.description)
            document.add_text("stock_code", _code(product.stock_code))
            document.add_unsigned("place", place)
            document.add_float("popularity", ranking.popularity(product.units_sold, most_sold))
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def __len__(self) -> int:
        return len(self._products)

    async def find(self, query: str, offset: int, limit: int) -> tuple[Sequence[Hit], int]:
        """As the domain says; costs up to some milliseconds, in a thread."""
        return await asyncio.to_thread(self._find, query, offset, limit)

    def _find(self, query: str, offset: int, limit: int) -> tuple[Sequence[Hit], int]:
        # tantivy reserves room for offset + limit hits before it looks for any.
        found = self._searcher.search(
            _Matching(query).query,
            offset=min(offset, len(self)),
            limit=max(1, min(limit, len(self))),
            weight_by_field="popularity",
        )
        places = self._searcher.fast_field_values("place", [address for _, address in found.hits])
        hits = [
            Hit(self._products[int(place or 0)], float(score))
            for (score, _), place in zip(found.hits, places, strict=True)
        ]
        return hits, int(found.count)  # type: ignore[attr-defined]  # the stub forgets it


class _Matching:
    """The tantivy query for what somebody typed."""

    def __init__(self, text: str) -> None:
        self._text = _code(text)
        self._words: list[str] = _WORDS.analyze(text)

    @cached_property
    def query(self) -> Query:
        if not self._text:
            return Query.empty_query()
        ways = _stock_code(self._text)
        if self._words:
            ways.append(self._every_word())
        return Query.disjunction_max_query(ways)

    def _every_word(self) -> Query:
        parts = [(Occur.Must, _word(word)) for word in dict.fromkeys(self._words)]
        if len(self._words) > 1:
            phrase = Query.phrase_query(_SCHEMA, "word", list(self._words))
            parts.append((Occur.Should, Query.const_score_query(phrase, ranking.PHRASE)))
        return Query.boolean_query(parts)


def _word(word: str) -> Query:
    exact = Query.term_query(_SCHEMA, "word", word)
    ways = [
        Query.boolean_query(
            [
                (Occur.Must, Query.const_score_query(exact, ranking.WORD)),
                (Occur.Must, Query.boost_query(exact, ranking.RELEVANCE)),
            ]
        ),
        _begun("word", word, ranking.WORD_BEGUN),
        *(
            Query.const_score_query(Query.term_query(_SCHEMA, "stem", stem), ranking.STEM)
            for stem in _STEMS.analyze(word)
        ),
        *_stock_code(word),
    ]
    if ranking.may_be_misspelt(word):
        misspelt = Query.fuzzy_term_query(_SCHEMA, "word", word, distance=1, transposition_cost_one=True)
        ways.append(Query.const_score_query(misspelt, ranking.MISSPELT))
    return Query.disjunction_max_query(ways)


def _code(text: str) -> str:
    """A stock code as it is compared."""
    return text.strip().lower()


def _stock_code(text: str) -> list[Query]:
    whole = Query.term_query(_SCHEMA, "stock_code", text)
    return [
        Query.const_score_query(whole, ranking.STOCK_CODE),
        _begun("stock_code", text, ranking.STOCK_CODE_BEGUN),
    ]


def _begun(field: str, start: str, score: float) -> Query:
    begun = Query.fuzzy_term_query(_SCHEMA, field, start, distance=0, prefix=True)
    return Query.const_score_query(begun, score)
