"""`EncoderConformance`: what every encoder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

import kayak
from kayak.builtin.memory_store import MemoryLateStore
from kayak.contracts import BatchTextEncoder, LateTextEncoder
from kayak.errors import InvalidInputError, KayakError
from kayak.testing.suite import ConformanceSuite
from kayak.testing.threads import run_together
from kayak.typing import Float32Matrix
from kayak.values import LateDocuments, LateQuery
from kayak.values.coerce import float32_matrix

TEXTS = (
    "thin wings flutter at high speed",
    "a",
    "Heat transfer in the boundary layer of a blunt body.",
    "naïve café, 42 % — ½",
    "日本語の文書 と 한국어",
    "👩‍👩‍👧 emoji \U0001f600 and\ttabs\nand line breaks",
    "שלום مرحبا",
    "THIN WINGS FLUTTER AT HIGH SPEED",
)
LONG_TEXT = "the boundary layer over a flat plate " * 400
BLANK_TEXTS = ("", " ", "\n\t")


class EncoderConformance(ConformanceSuite):
    """What every encoder promises. Subclass it and give the fixture `encoder`.

    Attributes:
        tolerance: how far a vector's values may depend on the batch in which its text was encoded; 0.0 demands
            equality to the bit. Models on a GPU need about 1e-3.
    """

    tolerance: ClassVar[float] = 0.0

    def test_follows_the_protocol(self, encoder: LateTextEncoder) -> None:
        """The object offers every method of `LateTextEncoder`."""
        assert isinstance(encoder, LateTextEncoder)

    def test_queries(self, encoder: LateTextEncoder) -> None:
        """A query is a `LateQuery` of finite float32 vectors, and carries its text."""
        for text in TEXTS:
            found = encoder.encode_query(text)
            assert isinstance(found, LateQuery)
            assert found.text == text
            _assert_token_vectors(found.as_vector_matrix())

    def test_documents(self, encoder: LateTextEncoder) -> None:
        """A document is a matrix of finite vectors that `float32` holds; documents may differ in length."""
        for text in TEXTS:
            matrix = np.asarray(float32_matrix(encoder.encode_document_vectors(text), "document"))
            _assert_token_vectors(matrix)

    def test_one_dimension(self, encoder: LateTextEncoder) -> None:
        """Queries and documents of whatever text share one dimension."""
        dims = {encoder.encode_query(text).vector_dim for text in TEXTS}
        dims |= {_document(encoder, text).shape[1] for text in (*TEXTS, LONG_TEXT)}
        assert len(dims) == 1, f"dimensions {sorted(dims)}"

    def test_many_documents(self, encoder: LateTextEncoder) -> None:
        """`encode_documents` keeps ids, order and texts, and gives what encoding one by one gives."""
        ids = [f"doc-{n}" for n in range(len(TEXTS))]
        found = encoder.encode_documents(ids, TEXTS)
        assert isinstance(found, LateDocuments)
        assert found.doc_ids == tuple(ids)
        assert found.texts == TEXTS
        self._assert_same(found.token_matrices, [_document(encoder, text) for text in TEXTS])

    def test_misaligned_documents(self, encoder: LateTextEncoder) -> None:
        """Ids and texts that do not align, and repeated ids, are refused."""
        for ids, texts in ((["a"], ["x", "y"]), (["a", "b"], ["x"]), (["a", "a"], ["x", "y"])):
            with pytest.raises(InvalidInputError):
                encoder.encode_documents(ids, texts)

    def test_deterministic(self, encoder: LateTextEncoder) -> None:
        """Equal texts give equal vectors, call after call, whatever was encoded between."""
        first = [(encoder.encode_query(text).as_vector_matrix(), _document(encoder, text)) for text in TEXTS]
        for text, (query_vectors, document) in reversed(list(zip(TEXTS, first, strict=True))):
            self._assert_same([encoder.encode_query(text).as_vector_matrix()], [query_vectors], exact=True)
            self._assert_same([_document(encoder, text)], [document], exact=True)

    def test_different_texts_differ(self, encoder: LateTextEncoder) -> None:
        """Different texts do not all get the same vectors."""
        assert len({_document(encoder, text).tobytes() for text in TEXTS}) > 1
        assert len({encoder.encode_query(text).as_vector_matrix().tobytes() for text in TEXTS}) > 1

    def test_batches_of_queries(self, encoder: LateTextEncoder) -> None:
        """If offered, `encode_queries` gives what encoding one by one gives, in order, with texts."""
        batched = _batched(encoder)
        for texts in (TEXTS, TEXTS[::-1], TEXTS[:1]):
            found = batched.encode_queries(texts)
            assert [item.text for item in found] == list(texts)
            expected = [encoder.encode_query(text).as_vector_matrix() for text in texts]
            self._assert_same([item.as_vector_matrix() for item in found], expected)

    def test_batches_of_documents(self, encoder: LateTextEncoder) -> None:
        """If offered, `encode_document_batch` gives what encoding one by one gives, in order."""
        batched = _batched(encoder)
        for texts in (TEXTS, TEXTS[::-1], TEXTS[:1], (LONG_TEXT, *TEXTS, LONG_TEXT)):
            found = [np.asarray(float32_matrix(m, "document")) for m in batched.encode_document_batch(texts)]
            self._assert_same(found, [_document(encoder, text) for text in texts])

    def test_tokens_align(self, encoder: LateTextEncoder) -> None:
        """If offered, `tokens` and `query_tokens` name each vector, in order."""
        tokens, query_tokens = (getattr(encoder, name, None) for name in ("tokens", "query_tokens"))
        if tokens is None and query_tokens is None:
            pytest.skip("the encoder offers neither tokens nor query_tokens")
        for text in TEXTS:
            if tokens is not None:
                _assert_names(tokens(text), len(_document(encoder, text)))
            if query_tokens is not None:
                _assert_names(query_tokens(text), encoder.encode_query(text).vector_count)

    def test_fingerprint(self, encoder: LateTextEncoder) -> None:
        """If there is a fingerprint, it is a non-empty string that encoding does not change."""
        before = getattr(encoder, "fingerprint", None)
        if before is None:
            pytest.skip("the encoder declares no fingerprint")
        assert isinstance(before, str)
        assert before.strip()
        encoder.encode_query(TEXTS[0])
        encoder.encode_document_vectors(TEXTS[0])
        assert getattr(encoder, "fingerprint", None) == before

    def test_blank_texts(self, encoder: LateTextEncoder) -> None:
        """A text without words gives valid vectors, or an error of ours; never an empty matrix."""
        for text in BLANK_TEXTS:
            for encode in (_document, _query_vectors):
                try:
                    matrix = encode(encoder, text)
                except KayakError:
                    continue
                _assert_token_vectors(matrix)

    def test_refuses_what_is_no_text(self, encoder: LateTextEncoder) -> None:
        """None, bytes and numbers are refused with an error of ours."""
        wrong: tuple[Any, ...] = (None, b"wing", 7)
        for text in wrong:
            for encode in (encoder.encode_query, encoder.encode_document_vectors):
                with pytest.raises(KayakError):
                    encode(text)

    def test_long_texts(self, encoder: LateTextEncoder) -> None:
        """A text of thousands of words is encoded, cut or not, and does not disturb its neighbours."""
        _assert_token_vectors(_document(encoder, LONG_TEXT))
        _assert_token_vectors(encoder.encode_query(LONG_TEXT).as_vector_matrix())
        found = encoder.encode_documents(["long", "short"], [LONG_TEXT, TEXTS[0]])
        self._assert_same(found.token_matrices, [_document(encoder, LONG_TEXT), _document(encoder, TEXTS[0])])

    def test_threads(self, encoder: LateTextEncoder) -> None:
        """Several threads may encode at once, and get what one thread gets."""
        expected = [_document(encoder, text) for text in TEXTS]
        queries = [_query_vectors(encoder, text) for text in TEXTS]

        def encode() -> tuple[list[Float32Matrix], list[Float32Matrix]]:
            return [_document(encoder, text) for text in TEXTS], [_query_vectors(encoder, text) for text in TEXTS]

        for found, found_queries in run_together([encode] * 4):
            self._assert_same(found, expected)
            self._assert_same(found_queries, queries)

    def test_results_do_not_change_later(self, encoder: LateTextEncoder) -> None:
        """What was returned stays as it is while other texts are encoded: no buffer is used again."""
        kept = encoder.encode_document_vectors(TEXTS[0])
        query_ = encoder.encode_query(TEXTS[0])
        before = np.array(float32_matrix(kept, "document")), query_.as_vector_matrix().tobytes()
        for text in TEXTS[1:]:
            encoder.encode_document_vectors(text)
            encoder.encode_query(text)
        assert np.array_equal(float32_matrix(kept, "document"), before[0])
        assert query_.as_vector_matrix().tobytes() == before[1]

    def test_serves_in_a_retriever(self, encoder: LateTextEncoder) -> None:
        """A retriever stores texts with it and searches them."""
        ids = [f"doc-{n}" for n in range(len(TEXTS))]
        with MemoryLateStore() as store, kayak.open_text_retriever(encoder=encoder, store=store) as retriever:
            retriever.upsert_texts(ids, TEXTS)
            hits = retriever.search_text(TEXTS[0], k=3)
            assert len(hits) == 3
            assert {hit.doc_id for hit in hits} <= set(ids)

    def _assert_same(
        self, found: Sequence[Float32Matrix], expected: Sequence[Float32Matrix], *, exact: bool = False
    ) -> None:
        assert len(found) == len(expected), f"{len(found)} matrices for {len(expected)} texts"
        limit = 0.0 if exact else self.tolerance
        for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
            assert mine.shape == theirs.shape, f"text {number} has shape {mine.shape}, expected {theirs.shape}"
            worst = float(np.abs(mine.astype(np.float64) - theirs).max())
            assert worst <= limit, f"text {number} differs by {worst}, allowed {limit}"


def _batched(encoder: LateTextEncoder) -> BatchTextEncoder:
    if not isinstance(encoder, BatchTextEncoder):
        pytest.skip("the encoder does not offer encode_queries and encode_document_batch")
    return encoder


def _document(encoder: LateTextEncoder, text: str) -> Float32Matrix:
    return float32_matrix(encoder.encode_document_vectors(text), "document")


def _query_vectors(encoder: LateTextEncoder, text: str) -> Float32Matrix:
    return encoder.encode_query(text).as_vector_matrix()


def _assert_token_vectors(matrix: Float32Matrix) -> None:
    assert matrix.ndim == 2
    assert matrix.shape[0] >= 1
    assert matrix.shape[1] >= 1
    assert matrix.dtype == np.float32
    assert np.isfinite(matrix).all()


def _assert_names(names: Any, count: int) -> None:
    assert not isinstance(names, str), "tokens come as a sequence of strings"
    assert all(isinstance(name, str) for name in names)
    assert len(names) == count, f"{len(names)} tokens for {count} vectors"
