"""`explain`: which document token each query token found, and what that added to the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from kayak.contracts import LateStore
from kayak.contracts.search_checks import checked_query
from kayak.errors import EmptySelectionError, InvalidInputError, InvalidTypeError
from kayak.explanation.alignment import Explanation, TokenAlignment
from kayak.retrieval import LateTextRetriever, LateTextSearchSession
from kayak.retrieval.encoding import encode_query
from kayak.typing import Float32Matrix, TokenMatrixInput
from kayak.values import LateDocuments, LateIndex, LateQuery, SearchHit
from kayak.values.coerce import float32_matrix, string_tuple

Document = LateIndex | LateDocuments | LateStore | LateTextRetriever | LateTextSearchSession | TokenMatrixInput


@runtime_checkable
class _NamesTokens(Protocol):
    """An encoder that offers the strings of the tokens that it encodes."""

    def query_tokens(self, text: str) -> Sequence[str]:
        """Return one string a query vector."""

    def tokens(self, text: str) -> Sequence[str]:
        """Return one string a document vector."""


def explain(
    query: LateQuery | str,
    document: Document,
    doc_id: str | SearchHit | None = None,
    *,
    query_tokens: Sequence[str] | None = None,
    document_tokens: Sequence[str] | None = None,
) -> Explanation:
    """Explain the exact MaxSim score of one document for one query.

    `explain(text, retriever, hit)` explains a hit straight from a search result, with the token strings that the
    encoder offers.

    Args:
        query: the encoded query, or its text where `document` is a retriever or session, whose encoder encodes it.
        document: one matrix of token vectors, or what holds the document: an index, documents, a store, a retriever or
            a session.
        doc_id: which document, as its id or as a hit; may be left out where there is just one. With a matrix it only
            names the document.
        query_tokens: the query's token strings, one a query vector, for display. Unless given, those of the encoder
            of a retriever or session that offers `query_tokens(text)`.
        document_tokens: the document's token strings, one a document vector. Unless given, those of such an encoder
            that offers `tokens(text)`, where the document's text is stored.

    Returns:
        For each query token the document token with the greatest dot product and its share of the score (Khattab and
        Zaharia, ColBERT, arXiv 2004.12832), in float64.

    Raises:
        InvalidTypeError: a value of the wrong type.
        EmptySelectionError: the store has no such document.
        InvalidInputError: the document is not in the index, several are there and none is named, the dimensions
            differ, or tokens do not align with vectors.
        EncodingError: the query's text cannot be encoded.
    """
    encoder = document.encoder if isinstance(document, (LateTextRetriever, LateTextSearchSession)) else None
    encoded = encode_query(encoder, query) if isinstance(query, str) and encoder is not None else query
    if isinstance(encoded, str):
        raise InvalidTypeError(
            "expected a LateQuery, got str; a text needs a retriever or session as the document's home, whose encoder "
            "encodes it"
        )
    checked_query(encoded)
    name, matrix, text = _one_document(document, _doc_id(doc_id))
    if encoded.vector_dim != matrix.shape[1]:
        raise InvalidInputError(
            f"the query has dimension {encoded.vector_dim}, but the document has {matrix.shape[1]}; encode both with "
            "the same encoder"
        )
    if isinstance(encoder, _NamesTokens):
        if query_tokens is None and encoded.text is not None:
            query_tokens = encoder.query_tokens(encoded.text)
        if document_tokens is None and text is not None:
            document_tokens = _stored_tokens(encoder, text, name, matrix.shape[0])
    query_strings = _aligned(query_tokens, encoded.vector_count, "query")
    document_strings = _aligned(document_tokens, matrix.shape[0], "document")
    # einsum adds up every pair in the same order, so that equal document tokens tie exactly; BLAS does not.
    similarities = np.einsum(
        "qd,td->qt", encoded.as_vector_matrix().astype(np.float64), matrix.astype(np.float64), optimize=False
    )
    similarities.flags.writeable = False
    best = similarities.argmax(axis=1)
    values = similarities[np.arange(len(best)), best]
    score = float(values.sum())
    alignments = tuple(
        TokenAlignment(
            number,
            place,
            value,
            value / score if score else None,
            query_strings[number] if query_strings else None,
            document_strings[place] if document_strings else None,
        )
        for number, (place, value) in enumerate(zip(best.tolist(), values.tolist(), strict=True))
    )
    return Explanation(score, alignments, matrix.shape[0], name, document_strings, similarities=similarities)


def _doc_id(named: str | SearchHit | None) -> str | None:
    doc_id = named.doc_id if isinstance(named, SearchHit) else named
    if doc_id is not None and not isinstance(doc_id, str):
        raise InvalidTypeError(f"doc_id must be a string or a SearchHit, got {type(doc_id).__name__}")
    return doc_id


def _one_document(document: Document, doc_id: str | None) -> tuple[str | None, Float32Matrix, str | None]:
    """Return the document's id, vectors and text."""
    if isinstance(document, LateTextRetriever):
        return _stored(document.store, doc_id)
    if isinstance(document, LateStore):
        return _stored(document, doc_id)
    held = document.index if isinstance(document, LateTextSearchSession) else document
    index = held.pack() if isinstance(held, LateDocuments) else held
    if not isinstance(index, LateIndex):
        return doc_id, float32_matrix(index, "document"), None
    if doc_id is None:
        if index.document_count != 1:
            raise InvalidInputError(
                f"explain() takes one document, and here are {index.document_count}; name one with doc_id="
            )
        doc_id = index.doc_ids[0]
    number = int(index.numbers_of([doc_id])[0])
    return doc_id, index.document_token_matrix(number), None if index.doc_texts is None else index.doc_texts[number]


def _stored(store: LateStore, doc_id: str | None) -> tuple[str | None, Float32Matrix, str | None]:
    if doc_id is None:
        raise InvalidInputError("explain() takes one document; name one of the store's with doc_id=, or pass a hit")
    for batch in store.documents(doc_ids=[doc_id], batch_size=1):
        return doc_id, batch.token_matrices[0], None if batch.texts is None else batch.texts[0]
    raise EmptySelectionError(f"the store holds no document {doc_id!r}; a search shows the ids of what it finds")


def _stored_tokens(encoder: _NamesTokens, text: str, doc_id: str | None, count: int) -> Sequence[str]:
    tokens = encoder.tokens(text)
    if len(tokens) != count:
        raise InvalidInputError(
            f"document {doc_id!r} has {count} stored vectors, but its text gives {len(tokens)} tokens; it was stored "
            "by another encoder, so open the store with that"
        )
    return tokens


def _aligned(tokens: Sequence[str] | None, count: int, side: str) -> tuple[str, ...] | None:
    if tokens is None:
        return None
    strings = string_tuple(tokens, f"{side}_tokens")
    if len(strings) != count:
        raise InvalidInputError(
            f"{len(strings)} {side}_tokens for {count} {side} vectors; give one token a vector, in the same order"
        )
    return strings
