"""Encoders: what turns texts into token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from kayak.typing import DocIdsInput, DocTextsInput, QueryTextsInput, TokenMatrixInput
from kayak.values import LateDocuments, LateQuery


@runtime_checkable
class LateTextEncoder(Protocol):
    """Turns texts into late-interaction objects, one text at a time.

    An encoder may also offer, and callers then use:

    - `encode_queries(texts)` and `encode_document_batch(texts)`, see `BatchTextEncoder`;
    - `fingerprint`, a string that changes whenever its vectors would: stored with a corpus, it keeps queries from
      being encoded by another model than the documents;
    - `tokens(text)` and `query_tokens(text)`, the token strings aligned with the vectors, for explanations.
    """

    def encode_query(self, text: str) -> LateQuery:
        """Encode one query; the result carries its text."""

    def encode_document_vectors(self, text: str) -> TokenMatrixInput:
        """Encode one document as a matrix of shape (token vectors, dimension)."""

    def encode_documents(self, doc_ids: DocIdsInput, texts: DocTextsInput) -> LateDocuments:
        """Encode documents; the result carries their texts."""


@runtime_checkable
class BatchTextEncoder(Protocol):
    """The optional batch half of an encoder: same vectors, fewer calls."""

    def encode_queries(self, texts: QueryTextsInput) -> Sequence[LateQuery]:
        """Encode queries, in order."""

    def encode_document_batch(self, texts: DocTextsInput) -> Sequence[TokenMatrixInput]:
        """Encode documents as one matrix each, in order.

        An `EncodingError` that says the text's `position` spares callers the search for the document at fault.
        """


def encoder_fingerprint(encoder: object) -> str | None:
    """Return the encoder's fingerprint, or None where it declares none."""
    fingerprint = getattr(encoder, "fingerprint", None)
    return fingerprint if isinstance(fingerprint, str) else None
