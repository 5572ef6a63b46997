"""Calls encoders: in batches where they offer it, with errors that name the document."""

from __future__ import annotations

from collections.abc import Sequence

from kayak.contracts import BatchTextEncoder, LateTextEncoder
from kayak.errors import EncodingError, InvalidInputError, InvalidTypeError
from kayak.values import LateDocuments, LateQuery, LateQueryBatch, documents
from kayak.values.coerce import document_ids, string_tuple


def encode_documents(encoder: LateTextEncoder, doc_ids: Sequence[str], texts: Sequence[str]) -> LateDocuments:
    """Encode texts as documents that carry them, through the encoder's batch method where it has one.

    Raises:
        InvalidTypeError, InvalidInputError: malformed or misaligned ids and texts.
        EncodingError: a text cannot be encoded (the message and `doc_id` name the document, if it is known), or the
            encoder returned something else than one matrix a text.
    """
    ids = document_ids(doc_ids)
    given = string_tuple(texts, "texts")
    if len(ids) != len(given):
        raise InvalidInputError(f"{len(given)} texts for {len(ids)} doc_ids; give one text a document")
    if isinstance(encoder, BatchTextEncoder):
        try:
            matrices = encoder.encode_document_batch(given)
        except EncodingError as error:
            raise _naming_document(encoder, ids, given, error) or error from None
        if len(matrices) != len(ids):
            raise EncodingError(
                f"{type(encoder).__name__}.encode_document_batch returned {len(matrices)} matrices for {len(ids)} texts"
            )
        return documents(ids, matrices, texts=given)
    encoded = encoder.encode_documents(ids, given)
    if not isinstance(encoded, LateDocuments) or encoded.doc_ids != ids:
        raise EncodingError(
            f"{type(encoder).__name__}.encode_documents must return LateDocuments with the ids that it was given"
        )
    return encoded if encoded.texts is not None else encoded.with_texts(given)


def _naming_document(
    encoder: LateTextEncoder, ids: Sequence[str], texts: Sequence[str], error: EncodingError
) -> EncodingError | None:
    """Find the document that a batch failed on: the one that the error says, or else by trying one after the other."""
    everywhere = range(len(ids))
    for position in [each for each in everywhere if each == error.position] or everywhere:
        try:
            encoder.encode_document_vectors(texts[position])
        except EncodingError as found:
            return EncodingError(f"document {ids[position]!r} cannot be encoded: {found}", doc_id=ids[position])
    return None


def encode_query(encoder: LateTextEncoder, text: str) -> LateQuery:
    """Encode one query that carries its text.

    Raises:
        InvalidTypeError: the text is no string.
        EncodingError: the encoder returned something else than a `LateQuery`.
    """
    if not isinstance(text, str):
        raise InvalidTypeError(f"the query text must be a string, got {type(text).__name__}")
    return _checked(encoder, encoder.encode_query(text), text)


def encode_query_batch(encoder: LateTextEncoder, texts: Sequence[str]) -> LateQueryBatch:
    """Encode queries, through the encoder's batch method where it has one.

    Raises:
        InvalidTypeError: a text is no string.
        InvalidInputError: no text is given.
        EncodingError: the encoder returned something else than one `LateQuery` a text.
    """
    given = string_tuple(texts, "query texts")
    if not given:
        raise InvalidInputError("a query batch needs at least one query text, got none")
    if not isinstance(encoder, BatchTextEncoder):
        return LateQueryBatch.from_queries(encode_query(encoder, text) for text in given)
    queries = encoder.encode_queries(given)
    if len(queries) != len(given):
        raise EncodingError(
            f"{type(encoder).__name__}.encode_queries returned {len(queries)} queries for {len(given)} texts"
        )
    return LateQueryBatch.from_queries(
        _checked(encoder, query, text) for query, text in zip(queries, given, strict=True)
    )


def _checked(encoder: LateTextEncoder, query: LateQuery, text: str) -> LateQuery:
    if not isinstance(query, LateQuery):
        raise EncodingError(
            f"{type(encoder).__name__} must encode a query as a LateQuery, got {type(query).__name__}; wrap functions "
            "that return matrices in kayak.CallableLateTextEncoder"
        )
    return query if query.text is not None else query.with_text(text)
