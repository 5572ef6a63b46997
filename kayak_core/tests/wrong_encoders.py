"""Encoders that each break one promise; see `test_conformance_teeth.py`."""

from __future__ import annotations

import itertools
import threading

import kayak
import numpy as np
import pytest
from kayak.testing import EncoderConformance

WRONG: list[type] = []


def letters(text):
    return np.array([[ord(c) % 7 - 3.0, ord(c) % 5, ord(c) % 3, 1.0] for c in text], dtype=np.float32)


class Letters(kayak.CallableLateTextEncoder):
    """A right encoder with everything that is optional."""

    def __init__(self):
        super().__init__(self.query_vectors, self.document_vectors, fingerprint="letters-1")

    def query_vectors(self, text):
        return letters(text)

    def document_vectors(self, text):
        return letters(text)

    def encode_queries(self, texts):
        return [self.encode_query(text) for text in texts]

    def encode_document_batch(self, texts):
        return [self.encode_document_vectors(text) for text in texts]

    def tokens(self, text):
        return tuple(text)

    def query_tokens(self, text):
        return tuple(text)


class TestRight(EncoderConformance):
    breaks = ()

    @pytest.fixture
    def encoder(self):
        return Letters()


def breaks(*tests):
    """Make a test class for a wrong encoder, which must fail these tests."""

    def make(cls):
        body = {"breaks": tests, "encoder": pytest.fixture(lambda self: cls()), "__module__": __name__}
        test_class = type(f"Test{cls.__name__}", (EncoderConformance,), body)
        globals()[test_class.__name__] = test_class
        WRONG.append(test_class)
        return cls

    return make


@breaks("test_follows_the_protocol")
class OneByOneOnly(Letters):
    encode_documents = None


@breaks("test_queries")
class QueriesWithoutText(Letters):
    def encode_query(self, text):
        return super().encode_query(text).with_text(None)


@breaks("test_documents")
class NotANumber(Letters):
    def encode_document_vectors(self, text):
        return letters(text) * np.nan


@breaks("test_one_dimension")
class DimensionOfTheText(Letters):
    def document_vectors(self, text):
        return letters(text)[:, : 1 + len(text) % 4]


@breaks("test_many_documents")
class ReturnsBackwards(Letters):
    def encode_documents(self, doc_ids, texts):
        right = super().encode_documents(doc_ids, texts)
        return kayak.documents(right.doc_ids, right.token_matrices[::-1], texts=texts)


@breaks("test_misaligned_documents")
class CutsToTheShorter(Letters):
    def encode_documents(self, doc_ids, texts):
        pairs = dict(zip(doc_ids, texts, strict=False))
        return super().encode_documents(list(pairs), list(pairs.values()))


CALLS = itertools.count()


@breaks("test_deterministic")
class Drifts(Letters):
    def document_vectors(self, text):
        return letters(text) + next(CALLS)


@breaks("test_different_texts_differ")
class AllTheSame(Letters):
    def document_vectors(self, text):
        return np.ones((2, 4))


@breaks("test_batches_of_queries")
class SortsQueries(Letters):
    def encode_queries(self, texts):
        return super().encode_queries(sorted(texts, key=len))


@breaks("test_batches_of_documents")
class SortsDocuments(Letters):
    def encode_document_batch(self, texts):
        return super().encode_document_batch(sorted(texts, key=len))


@breaks("test_tokens_align")
class WordsForLetters(Letters):
    def tokens(self, text):
        return tuple(text.split())


@breaks("test_fingerprint")
class FingerprintOfTheMoment(Letters):
    def query_vectors(self, text):
        self.fingerprint = f"letters-{next(CALLS)}"
        return letters(text)


@breaks("test_blank_texts")
class BareErrors(Letters):
    def document_vectors(self, text):
        if not text.strip():
            raise RuntimeError("nothing to encode")
        return letters(text)


@breaks("test_refuses_what_is_no_text")
class EncodesAnything(Letters):
    def encode_query(self, text):
        return super().encode_query(str(text))


@breaks("test_long_texts")
class LimitedLength(Letters):
    def document_vectors(self, text):
        if len(text) > 512:
            raise RuntimeError("sequence too long")
        return letters(text)


@breaks("test_threads")
class OneThreadOnly(Letters):
    def document_vectors(self, text):
        return letters(text) + (threading.current_thread() is not threading.main_thread())


@breaks("test_results_do_not_change_later")
class ReusesItsBuffer(Letters):
    def __init__(self):
        super().__init__()
        self.buffer = np.zeros((1000, 4), dtype=np.float32)

    def encode_document_vectors(self, text):
        found = letters(text)
        self.buffer[: len(found)] = found
        return self.buffer[: len(found)]


@breaks("test_serves_in_a_retriever")
class LosesTheLastOfABatch(Letters):
    def encode_document_batch(self, texts):
        return super().encode_document_batch(texts)[:-1]
