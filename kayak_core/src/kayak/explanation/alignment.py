"""`Explanation`: the score of one document, token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt


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
    """The MaxSim score of one document for one query, token by token.

    `print` it for a table; a notebook shows the document with its tokens shaded by what they added.

    Attributes:
        score: sum of the similarities, in float64.
        alignments: one for each query token, in query order.
        document_vector_count: number of the document's token vectors.
        doc_id: the document's id, where known.
        document_tokens: the document's token strings, one a vector, where known.
        similarities: dot products of all pairs, float64, shape (query vectors, document vectors), read-only; not part
            of equality, `repr` and `to_dict()`.
    """

    score: float
    alignments: tuple[TokenAlignment, ...]
    document_vector_count: int
    doc_id: str | None = None
    document_tokens: tuple[str, ...] | None = None
    similarities: npt.NDArray[np.float64] = attrs.field(eq=False, repr=False, kw_only=True)

    @property
    def query_vector_count(self) -> int:
        """Number of the query's token vectors."""
        return len(self.alignments)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values."""
        return attrs.asdict(self, filter=lambda attribute, _: attribute.name != "similarities")

    def plot(self, path: str | Path) -> Path:
        """Draw the similarities of all token pairs as a heatmap, with each query token's best marked, into a file.

        Of a long document only the tokens that a query token found are drawn, with their neighbours.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            InvalidInputError: the file cannot be written.
        """
        from kayak.explanation.heatmap import plot_explanation

        return plot_explanation(self, path)

    def _repr_html_(self) -> str:
        from kayak.explanation.html import explanation_html

        return explanation_html(self)

    def __str__(self) -> str:
        document = "the document" if self.doc_id is None else f"document {self.doc_id!r}"
        head = (
            f"score {self.score:.4f} of {document}: {self.query_vector_count} query vectors, "
            f"{self.document_vector_count} document vectors"
        )
        rows = [("query token", "document token", "similarity", "share")]
        rows += [
            (
                token_label(each.query_position, each.query_token),
                token_label(each.document_position, each.document_token),
                f"{each.similarity:.4f}",
                "" if each.share is None else f"{each.share:.1%}",
            )
            for each in self.alignments
        ]
        left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
        lines = [f"  {q:<{left}}  {d:<{right}}  {s:>10}  {share:>7}".rstrip() for q, d, s, share in rows]
        return "\n".join([head, *lines])


def token_label(position: int, text: str | None) -> str:
    """Return how a token is shown: its position, and its string where known."""
    return f"{position}" if text is None else f"{position} {text}"
