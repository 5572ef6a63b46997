"""The verifier `clause_text`: rewards documents whose text answers the clauses of the query."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import ClassVar

import attrs
import numpy as np

from kayak.contracts import (
    DOCUMENT_TEXT_FAMILY,
    CandidateWindow,
    SearchStageProfile,
    Stage3VerifierOperator,
    StageArtifactMaterialization,
    StageResult,
)
from kayak.errors import InvalidInputError
from kayak.values import LateIndex, LateQuery, LateScores

CLAUSE_TEXT = "clause_text"
BOOST_WEIGHT = 0.2
EARLIER_CLAUSE_SCALE = 0.35
FINAL_CLAUSE_SCALE = 1.0
SEVERAL_MATCHES_BONUS = 1.0
FINAL_MATCH_BONUS = 0.5
PHRASE_BONUS = 1.5
MIN_TOKEN_LENGTH = 3
LONG_TOKEN_LENGTH = 6
LONG_TOKEN_BONUS = 0.5
UNIQUE_TOKEN_BONUS = 1.0
SHARED_TOKEN_BONUS = 0.5

STOP_WORDS = frozenset(
    "about above after again all also although and another any are because been before being below between both "
    "but can could did does doing down during each else ever few for from further had has have having her here "
    "hers him his how however into its itself just many may might more most much must nor not now off once only "
    "other our ours out over own same shall she should some such than that the their theirs them then there these "
    "they this those through too under until upon very was were what when where whether which while who whom "
    "whose why will with within without would yet you your yours".split()
)

_CLAUSE_END = re.compile(r"[.?!:]")
_WORD = re.compile(r"\w+")


@attrs.frozen
class _Clause:
    tokens: tuple[str, ...]  # distinct content tokens, in order of first occurrence
    scale: float

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(f"{first} {second}" for first, second in pairwise(self.tokens))


def _parse(text: str) -> tuple[tuple[_Clause, ...], dict[str, float]]:
    word_lists = [words for part in _CLAUSE_END.split(text.lower()) if (words := _WORD.findall(part))]
    clauses = tuple(
        _Clause(
            tuple(dict.fromkeys(word for word in words if _is_content(word))),
            FINAL_CLAUSE_SCALE if number == len(word_lists) - 1 else EARLIER_CLAUSE_SCALE,
        )
        for number, words in enumerate(word_lists)
    )
    spread = Counter(token for clause in clauses for token in clause.tokens)
    bonus = {1: UNIQUE_TOKEN_BONUS, 2: SHARED_TOKEN_BONUS}
    weights = {
        token: 1.0 + (LONG_TOKEN_BONUS if len(token) >= LONG_TOKEN_LENGTH else 0.0) + bonus.get(clauses_with, 0.0)
        for token, clauses_with in spread.items()
    }
    return clauses, weights


def _is_content(word: str) -> bool:
    return len(word) >= MIN_TOKEN_LENGTH and word not in STOP_WORDS


def clause_text_boost(query_text: str, document_text: str) -> float:
    """Return how well a document's text answers the clauses of a query, ≥ 0.

    The query is lower-cased and split into clauses at `. ? ! :`. A content token has at least 3 characters and is
    no stop word; it counts once a clause and weighs 1, plus 0.5 from 6 characters on, plus 1 if it occurs in one
    clause only or 0.5 if in two. The final clause has scale 1, the others 0.35. Each token found as a whole word
    in the document adds scale × weight; two or more matches in a clause add scale × 1; the final clause adds 0.5 a
    match; each pair of content tokens that follow one another in the clause, found as a phrase, adds scale × 1.5.
    """
    clauses, weights = _parse(query_text)
    words = _WORD.findall(document_text.lower())
    vocabulary = frozenset(words)
    pairs = frozenset(f"{first} {second}" for first, second in pairwise(words))
    boost = 0.0
    for clause in clauses:
        matches = [token for token in clause.tokens if token in vocabulary]
        boost += clause.scale * sum(weights[token] for token in matches)
        if len(matches) >= 2:
            boost += clause.scale * SEVERAL_MATCHES_BONUS
        if clause is clauses[-1]:
            boost += FINAL_MATCH_BONUS * len(matches)
        boost += clause.scale * PHRASE_BONUS * sum(phrase in pairs for phrase in clause.phrases)
    return boost


@attrs.frozen
class ClauseText(Stage3VerifierOperator):
    """Adds 0.2 × `clause_text_boost` to each hit's prior score and reorders; needs query and document texts."""

    kind: ClassVar[str] = CLAUSE_TEXT
    requires_query_text: ClassVar[bool] = True
    requires_document_texts: ClassVar[bool] = True

    def verify(self, query: LateQuery, window: CandidateWindow, prior: StageResult, *, k: int) -> StageResult:
        """Rescore the hits by their texts; see `Stage3VerifierOperator.verify`.

        Raises:
            InvalidInputError: the query or a document of the window has no text; the message says which.
        """
        if query.text is None:
            raise InvalidInputError(
                "the clause_text verifier reads the query's text, but query.text is None; "
                "use kayak.query(vectors, text=...) or query.with_text(...)"
            )
        texts = _texts_of(window.index, [hit.doc_id for hit in prior.hits])
        values = np.array(
            [
                hit.score + BOOST_WEIGHT * clause_text_boost(query.text, text)
                for hit, text in zip(prior.hits, texts, strict=True)
            ],
            dtype=np.float64,
        )
        ids = tuple(hit.doc_id for hit in prior.hits)
        scores = LateScores.from_values(
            prior.scores.backend, ids, values, query_vector_count=prior.scores.query_vector_count
        )
        hits = scores.topk(k)
        profile = SearchStageProfile(
            self.kind,
            len(prior.hits),
            len(hits),
            document_count=len(texts),
            document_text_count=len(texts),
            materialized_artifacts=(
                StageArtifactMaterialization(DOCUMENT_TEXT_FAMILY, len(texts), document_text_count=len(texts)),
            ),
            bytes_read=sum(len(text.encode()) for text in texts),
        )
        return StageResult(scores, hits, profile)


def _texts_of(index: LateIndex, doc_ids: list[str]) -> list[str]:
    if index.doc_texts is None:
        raise InvalidInputError(
            "the clause_text verifier reads document texts, but the index carries none; give texts= to "
            "kayak.documents, or load the index with include_text=True"
        )
    texts = []
    for doc_id, number in zip(doc_ids, index.numbers_of(doc_ids).tolist(), strict=True):
        text = index.doc_texts[number]
        if text is None:
            raise InvalidInputError(f"the clause_text verifier reads document texts, but {doc_id!r} has none")
        texts.append(text)
    return texts
