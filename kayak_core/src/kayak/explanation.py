"""`explain`: which document token each query token found, and what that added to the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.searching.scoring import checked_query
from kayak.typing import Float32Matrix, TokenMatrixInput
from kayak.values import LateDocuments, LateIndex, LateQuery
from kayak.values.coerce import float32_matrix, string_tuple


@attrs.frozen
class TokenAlignment:
    """One query token and the document token that it found.

    Attributes:
        query_position: row of the query token.
        document_position: row of the document token with the greatest dot product, the first where several tie.
        similarity: their dot product, in float64.
        share: `similarity` divided by the score; None where the score is 0. A share below 0 took from the score.
        query_token: the query token's string, where known.
        document_token: the document token's string, where known.
    """

    query_position: int
    document_position: int
    similarity: float
    share: float | None
    query_token: str | None = None
    document_token: str | None = None


@attrs.frozen
class Explanation:
    """The MaxSim score of one document for one query, token by token. `print` it for a table.

    Attributes:
        score: sum of the similarities, in float64.
        alignments: one for each query token, in query order.
        document_vector_count: number of the document's token vectors.
        doc_id: the document's id, where known.
    """

    score: float
    alignments: tuple[TokenAlignment, ...]
    document_vector_count: int
    doc_id: str | None = None

    @property
    def query_vector_count(self) -> int:
        """Number of the query's token vectors."""
        return len(self.alignments)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values."""
        return attrs.asdict(self)

    def __str__(self) -> str:
        document = "the document" if self.doc_id is None else f"document {self.doc_id!r}"
        head = (
            f"score {self.score:.4f} of {document}: {self.query_vector_count} query vectors, "
            f"{self.document_vector_count} document vectors"
        )
        rows = [("query token", "document token", "similarity", "share")]
        rows += [
            (
                _token(each.query_position, each.query_token),
                _token(each.document_position, each.document_token),
                f"{each.similarity:.4f}",
                "" if each.share is None else f"{each.share:.1%}",
            )
            for each in self.alignments
        ]
        left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
        lines = [f"  {q:<{left}}  {d:<{right}}  {s:>10}  {share:>7}".rstrip() for q, d, s, share in rows]
        return "\n".join([head, *lines])


def explain(
    query: LateQuery,
    document: LateIndex | LateDocuments | TokenMatrixInput,
    doc_id: str | None = None,
    *,
    query_tokens: Sequence[str] | None = None,
    document_tokens: Sequence[str] | None = None,
) -> Explanation:
    """Explain the exact MaxSim score of one document for one query.

    Args:
        query: the encoded query.
        document: one matrix of token vectors, or an index or documents that hold the document.
        doc_id: which document of an index or of documents; may be left out where there is just one. With a matrix it
            only names the document.
        query_tokens: the query's token strings, one a query vector, for display; encoders may offer
            `query_tokens(text)`.
        document_tokens: the document's token strings, one a document vector; encoders may offer `tokens(text)`.

    Returns:
        For each query token the document token with the greatest dot product and its share of the score (Khattab and
        Zaharia, ColBERT, arXiv 2004.12832), in float64.

    Raises:
        InvalidTypeError: a value of the wrong type.
        InvalidInputError: the document is not in the index, several are there and none is named, the dimensions
            differ, or tokens do not align with vectors.
    """
    checked_query(query)
    name, matrix = _one_document(document, doc_id)
    if query.vector_dim != matrix.shape[1]:
        raise InvalidInputError(
            f"the query has dimension {query.vector_dim}, but the document has {matrix.shape[1]}; encode both with the "
            "same encoder"
        )
    query_strings = _aligned(query_tokens, query.vector_count, "query")
    document_strings = _aligned(document_tokens, matrix.shape[0], "document")
    # einsum adds up every pair in the same order, so that equal document tokens tie exactly; BLAS does not.
    similarities = np.einsum(
        "qd,td->qt", query.as_vector_matrix().astype(np.float64), matrix.astype(np.float64), optimize=False
    )
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
    return Explanation(score, alignments, matrix.shape[0], name)


def _one_document(
    document: LateIndex | LateDocuments | TokenMatrixInput, doc_id: str | None
) -> tuple[str | None, Float32Matrix]:
    if doc_id is not None and not isinstance(doc_id, str):
        raise InvalidTypeError(f"doc_id must be a string, got {type(doc_id).__name__}")
    index = document.pack() if isinstance(document, LateDocuments) else document
    if not isinstance(index, LateIndex):
        return doc_id, float32_matrix(index, "document")
    if doc_id is None:
        if index.document_count != 1:
            raise InvalidInputError(
                f"explain() takes one document, and here are {index.document_count}; name one with doc_id="
            )
        doc_id = index.doc_ids[0]
    return doc_id, index.document_token_matrix(int(index.numbers_of([doc_id])[0]))


def _aligned(tokens: Sequence[str] | None, count: int, side: str) -> tuple[str, ...] | None:
    if tokens is None:
        return None
    strings = string_tuple(tokens, f"{side}_tokens")
    if len(strings) != count:
        raise InvalidInputError(
            f"{len(strings)} {side}_tokens for {count} {side} vectors; give one token a vector, in the same order"
        )
    return strings


def _token(position: int, text: str | None) -> str:
    return f"{position}" if text is None else f"{position} {text}"
