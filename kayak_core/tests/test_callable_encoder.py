"""The `callable` encoder in its four forms, and what it refuses."""

from __future__ import annotations

import kayak
import numpy as np
import pytest


def letters(text: str) -> np.ndarray:
    return np.array([[float(ord(letter) % 7 == i) for i in range(7)] for letter in text])


class Model:
    def encode_query_tokens(self, text: str) -> np.ndarray:
        return letters(text)

    def encode_document_tokens(self, text: str) -> np.ndarray:
        return letters(text)

    def query_tokens(self, text: str) -> np.ndarray:
        return letters(text)[:1]

    def document_tokens(self, text: str) -> list[list[float]]:
        values: list[list[float]] = letters(text).tolist()
        return values


@pytest.mark.parametrize(
    ("kwargs", "query_vectors"),
    [
        ({"query_encoder": letters, "document_encoder": letters}, 3),
        ({"model": Model()}, 3),
        ({"model": Model(), "query_method": "query_tokens", "document_method": "document_tokens"}, 1),
        ({"query_encoder": Model().query_tokens, "document_encoder": Model().document_tokens}, 1),
    ],
)
def test_forms(kwargs: dict[str, object], query_vectors: int) -> None:
    encoder = kayak.open_encoder("callable", **kwargs)
    query = encoder.encode_query("abc")
    assert (query.vector_count, query.text) == (query_vectors, "abc")
    assert np.asarray(encoder.encode_document_vectors("abcd")).tolist() == letters("abcd").tolist()
    documents = encoder.encode_documents(["a", "b"], ["x", "yz"])
    assert (documents.vector_counts, documents.texts) == ((1, 2), ("x", "yz"))


def test_class_constructors() -> None:
    encoder = kayak.CallableLateTextEncoder(letters, letters, fingerprint="letters 1")
    assert encoder.fingerprint == "letters 1"
    assert isinstance(encoder, kayak.LateTextEncoder)
    assert not isinstance(encoder, kayak.BatchTextEncoder)
    assert kayak.CallableLateTextEncoder.from_model(Model()).encode_query("a").vector_count == 1


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({}, ValueError, "needs query_encoder= and document_encoder=, or model="),
        ({"query_encoder": letters}, ValueError, "needs query_encoder= and document_encoder="),
        ({"model": Model(), "query_encoder": letters}, ValueError, "either model= or query_encoder="),
        (
            {"query_encoder": letters, "document_encoder": letters, "query_method": "x"},
            ValueError,
            "name methods of model=, which is not given",
        ),
        (
            {"model": object()},
            TypeError,
            "object has no method 'encode_query_tokens'; name the right one with query_method=",
        ),
        ({"model": Model(), "document_method": "nope"}, TypeError, "Model has no method 'nope'"),
        (
            {"query_encoder": 3, "document_encoder": letters},
            TypeError,
            "query_encoder must be callable with a text, got int",
        ),
        ({"modle": Model()}, TypeError, "unexpected keyword argument 'modle'; it takes (*, query_encoder"),
        ({"model": Model(), "fingerprint": 3}, TypeError, "fingerprint must be a string or None, got int"),
    ],
)
def test_refusals(kwargs: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        kayak.open_encoder("callable", **kwargs)
    assert message in str(caught.value)
    assert isinstance(caught.value, kayak.KayakError)


def test_bad_results_name_the_document() -> None:
    encoder = kayak.CallableLateTextEncoder(letters, letters)
    with pytest.raises(kayak.EncodingError, match=r"the encoder's result for document 'b' '' must be a 2-D matrix"):
        encoder.encode_documents(["a", "b"], ["x", ""])
    with pytest.raises(kayak.EncodingError, match="the encoder's result for query '' must be a 2-D matrix"):
        encoder.encode_query("")
    with pytest.raises(TypeError, match="the query text must be a string, got int"):
        encoder.encode_query(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 texts for 2 doc_ids; give one text a document"):
        encoder.encode_documents(["a", "b"], ["x"])
