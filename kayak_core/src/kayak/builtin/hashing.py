"""The encoder `hashing`: lexical token vectors from hashed words and character n-grams, without any model.

It matches spellings, not meanings: a query word finds the same word and its relatives ("wing", "wings"). Use it where
nothing may be downloaded, in tests, and as the baseline that a learned encoder has to beat.

Each word is the sum of random sign vectors, one for the whole word and one for each of its character n-grams (the
features of Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606, with signs from a hash instead of training), so
unrelated words are nearly orthogonal. Two things are then added to make MaxSim behave like a lexical ranking function:

- A document holds one vector for each distinct word. Its last component is reserved: the word's direction is scaled by
  the saturating, length-normalised term frequency of BM25 (Robertson and Zaragoza 2009,
  https://doi.org/10.1561/1500000019) and the last component, which is zero in every query vector, restores the unit
  norm. MaxSim of a query word that occurs is thus its BM25 term frequency factor.
- A query vector's norm is the word's weight. A stateless encoder knows no document frequencies; two short lists of
  frequent English words stand in for them, so in other languages all words weigh the same.

The constants below were chosen on half of the queries of Cranfield and SciFact; `benchmarks/lexical_quality.py` reports
the other half separately.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from kayak.builtin.words import query_weight, split_words
from kayak.errors import EncodingError, InvalidInputError, InvalidTypeError
from kayak.typing import DocIdsInput, DocTextsInput, Float32Matrix, Float32Vector, QueryTextsInput
from kayak.values import LateDocuments, LateQuery, documents, query
from kayak.values.coerce import document_ids, non_negative_int, string_tuple

__all__ = ["HashingEncoder"]

_FORMAT = "v1"
"""Part of the fingerprint: raise it with any change to the vectors."""

_WORD_WEIGHT, _NGRAM_WEIGHT = 16, 48
_SATURATION = 0.8
"""BM25's k1."""
_LENGTH_NORMALISATION = 0.6
"""BM25's b."""
_PIVOT_LENGTH = 200.0
"""Stands in for the collection's mean document length, in words."""

_SPELLED_LENGTH = 64
"""Only so many characters of a word give n-grams (all of them count in the whole word), which bounds its cost."""
_MIN_DIM = 16


class HashingEncoder:
    """Encodes texts as lexical token vectors: hashed words and character n-grams, no model, nothing to download.

    Equal arguments give bit-identical vectors in every process and on every platform, for all characters that the
    interpreter's Unicode tables know. Instances may be shared between threads.

    Args:
        dim: dimension of the token vectors, at least 16. The default suits the flat layouts.
        ngram_range: shortest and longest character n-gram, counted with a mark at each end of the word.
        seed: chooses another, independent set of vectors.
        cache_size: number of words whose vectors are kept (least recently used go first); about 600 bytes a word at
            dim 128. It changes speed only.

    Raises:
        InvalidTypeError: an argument that is no integer, or no pair of integers.
        InvalidInputError: an argument out of range.
    """

    def __init__(
        self,
        *,
        dim: int = 128,
        ngram_range: tuple[int, int] = (3, 5),
        seed: int = 0,
        cache_size: int = 65_536,
    ) -> None:
        self.dim = non_negative_int(dim, "dim", minimum=_MIN_DIM)
        self.ngram_range = _checked_range(ngram_range)
        self.seed = non_negative_int(seed, "seed")
        self.cache_size = non_negative_int(cache_size, "cache_size")
        self._cached_direction = lru_cache(maxsize=self.cache_size)(self._direction)

    def __repr__(self) -> str:
        return (
            f"HashingEncoder(dim={self.dim}, ngram_range={self.ngram_range}, seed={self.seed}, "
            f"cache_size={self.cache_size})"
        )

    @property
    def fingerprint(self) -> str:
        """Names everything that the vectors depend on; equal fingerprints mean equal vectors."""
        shortest, longest = self.ngram_range
        return f"hashing(dim={self.dim}, ngram={shortest}-{longest}, seed={self.seed}, {_FORMAT})"

    @property
    def cached_words(self) -> int:
        """Number of words whose vectors are kept now, at most `cache_size`."""
        return self._cached_direction.cache_info().currsize

    def tokens(self, text: str) -> list[str]:
        """Return a document's words, aligned with the rows of `encode_document_vectors`: each distinct word once.

        Raises:
            InvalidTypeError: the text is no string.
        """
        return list(dict.fromkeys(self.query_tokens(text)))

    def query_tokens(self, text: str) -> list[str]:
        """Return a query's words, aligned with the rows of `encode_query`: repeated words are kept.

        Raises:
            InvalidTypeError: the text is no string.
        """
        if not isinstance(text, str):
            raise InvalidTypeError(f"the text must be a string, got {type(text).__name__}")
        return split_words(text)

    def encode_query(self, text: str) -> LateQuery:
        """Encode a query: one vector a word, its norm the word's weight (1, or less for frequent English words).

        Raises:
            InvalidTypeError: the text is no string.
            EncodingError: the text holds no word.
        """
        words = self.query_tokens(text)
        if not words:
            raise EncodingError(f"the query {text!r:.60} holds no word (letters or digits); give at least one")
        vectors = np.zeros((len(words), self.dim), dtype=np.float32)
        weights = np.array([query_weight(word) for word in words], dtype=np.float32)
        np.multiply(self._directions(words), weights[:, None], out=vectors[:, :-1])
        return query(vectors, text=text)

    def encode_queries(self, texts: QueryTextsInput) -> list[LateQuery]:
        """Encode queries, in order; see `encode_query`.

        Raises:
            InvalidTypeError: something else than a sequence of strings.
            EncodingError: a text holds no word.
        """
        return [self.encode_query(text) for text in string_tuple(texts, "query texts")]

    def encode_document_vectors(self, text: str) -> Float32Matrix:
        """Encode one document: float32 unit vectors of shape (distinct words, dim).

        Raises:
            InvalidTypeError: the text is no string.
            EncodingError: the text holds no word.
        """
        return self._encode((self.query_tokens(text),), (text,), ("the document",))[0]

    def encode_document_batch(self, texts: DocTextsInput) -> list[Float32Matrix]:
        """Encode documents, in order, looking each distinct word of the batch up once; the matrices share one buffer.

        Raises:
            InvalidTypeError: something else than a sequence of strings.
            EncodingError: a text holds no word; the message gives its position.
        """
        given = string_tuple(texts, "texts")
        return self._encode([split_words(text) for text in given], given, [f"texts[{i}]" for i in range(len(given))])

    def encode_documents(self, doc_ids: DocIdsInput, texts: DocTextsInput) -> LateDocuments:
        """Encode documents; the result carries their texts.

        Raises:
            InvalidTypeError: ids or texts that are no strings.
            InvalidInputError: ids and texts do not align, or ids are empty or repeated.
            EncodingError: a text holds no word; the message names the document.
        """
        ids, given = document_ids(doc_ids), string_tuple(texts, "texts")
        if len(ids) != len(given):
            raise InvalidInputError(f"{len(given)} texts for {len(ids)} doc_ids; give one text a document")
        names = [f"document {doc_id!r}" for doc_id in ids]
        return documents(ids, self._encode([split_words(text) for text in given], given, names), texts=given)

    def _encode(self, words: Sequence[list[str]], texts: Sequence[str], names: Sequence[str]) -> list[Float32Matrix]:
        for position, (name, text, found) in enumerate(zip(names, texts, words, strict=True)):
            if not found:
                raise EncodingError(
                    f"{name} holds no word (letters or digits) to encode, its text is {text!r:.60}; leave such "
                    "documents out, or give them a text",
                    position=position,
                )
        counted = [Counter(found) for found in words]
        counts = np.array([len(counter) for counter in counted], dtype=np.int64)
        row_of = {word: row for row, word in enumerate(dict.fromkeys(chain.from_iterable(counted)))}
        rows = np.array([row_of[word] for word in chain.from_iterable(counted)], dtype=np.int64)
        frequencies = np.array(list(chain.from_iterable(c.values() for c in counted)), dtype=np.float64)
        lengths = np.array([len(found) for found in words], dtype=np.float64)
        scale = _term_frequency_factor(frequencies, np.repeat(lengths, counts))
        vectors = np.empty((len(rows), self.dim), dtype=np.float32)
        np.multiply(self._directions(row_of)[rows], scale.astype(np.float32)[:, None], out=vectors[:, :-1])
        vectors[:, -1] = np.sqrt(1.0 - scale * scale)
        bounds = [0, *np.cumsum(counts).tolist()]
        return [vectors[start:stop] for start, stop in pairwise(bounds)]

    def _directions(self, words: Iterable[str]) -> Float32Matrix:
        """Unit vectors of words, shape (words, dim - 1)."""
        known = [
            self._cached_direction(word) if len(word) <= _SPELLED_LENGTH else self._direction(word) for word in words
        ]
        return np.frombuffer(b"".join(known), dtype=np.float32).reshape(-1, self.dim - 1)

    def _direction(self, word: str) -> bytes:
        """Return one word's unit vector, as float32 bytes, which join faster than arrays.

        The sum is exact in integers, so no platform's order of addition can show in the result. The whole word's
        weight is odd and the n-grams' is even, so no component is zero.
        """
        ngrams = self._ngrams(f"<{word[:_SPELLED_LENGTH]}>")
        signs = self._signs([f"w{word}", *(f"n{ngram}" for ngram in ngrams)])
        word_weight = 2 * round(_WORD_WEIGHT * math.sqrt(max(1, len(ngrams))) / 2) + 1
        total = word_weight * signs[0] + _NGRAM_WEIGHT * signs[1:].sum(axis=0)
        direction: Float32Vector = (total / math.sqrt(int(total @ total))).astype(np.float32)
        return direction.tobytes()

    def _ngrams(self, marked: str) -> list[str]:
        shortest, longest = self.ngram_range
        return [marked[start : start + n] for n in range(shortest, longest + 1) for start in range(len(marked) - n + 1)]

    def _signs(self, features: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the sign vectors of features, shape (features, dim - 1)."""
        size = (self.dim + 6) // 8
        digests = (hashlib.shake_128(f"{self.seed}\0{feature}".encode()).digest(size) for feature in features)
        packed = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, size)
        bits = np.unpackbits(packed, axis=1, count=self.dim - 1)
        return 2 * bits.astype(np.int64) - 1


def _term_frequency_factor(
    frequencies: npt.NDArray[np.float64], lengths: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    normalised = 1.0 - _LENGTH_NORMALISATION + _LENGTH_NORMALISATION * lengths / _PIVOT_LENGTH
    return frequencies / (frequencies + _SATURATION * normalised)


def _checked_range(ngram_range: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(ngram_range, (tuple, list)) or len(ngram_range) != 2:
        raise InvalidTypeError(f"ngram_range must be a pair such as (3, 5), got {ngram_range!r:.60}")
    shortest = non_negative_int(ngram_range[0], "ngram_range[0]", minimum=1)
    longest = non_negative_int(ngram_range[1], "ngram_range[1]", minimum=1)
    if shortest > longest:
        raise InvalidInputError(f"ngram_range must ascend, got {(shortest, longest)}")
    return shortest, longest
