"""Stages 2 and 3: operators that rescore or verify a candidate window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import attrs

from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.executor import Executor
from kayak.contracts.profile import DOCUMENT_TEXT_FAMILY, LATE_INTERACTION_FAMILY, SearchStageProfile
from kayak.errors import InvalidInputError
from kayak.values import LateIndex, LateQuery, LateScores, SearchHit

EXACT_LATE_INTERACTION_SEMANTICS = "exact_late_interaction"
EXACT_SCORE = "exact_score"


@attrs.frozen
class ReferenceScoringSemantics:
    """Names the scoring that a plan's final order stands for.

    Attributes:
        kind: "exact_late_interaction": exact MaxSim over all token vectors.
    """

    kind: str = EXACT_LATE_INTERACTION_SEMANTICS

    def __attrs_post_init__(self) -> None:
        if self.kind != EXACT_LATE_INTERACTION_SEMANTICS:
            raise InvalidInputError(
                f"unknown reference scoring semantics {self.kind!r}; expected {EXACT_LATE_INTERACTION_SEMANTICS!r}"
            )

    @property
    def family(self) -> str:
        """Family of artifacts that the scoring reads."""
        return LATE_INTERACTION_FAMILY

    @property
    def required_artifact_families(self) -> tuple[str, ...]:
        """Artifacts that must be there to score."""
        return (LATE_INTERACTION_FAMILY,)

    @property
    def score_kind(self) -> str:
        """Kind of score: exact MaxSim."""
        return EXACT_SCORE

    def requires_artifact_family(self, family: str) -> bool:
        """Whether the scoring needs artifacts of `family`."""
        return family in self.required_artifact_families


def exact_late_interaction_reference_scoring_semantics() -> ReferenceScoringSemantics:
    """Return the semantics of exact MaxSim, the only one that plans have."""
    return ReferenceScoringSemantics()


@attrs.frozen(eq=False, slots=False)
class CandidateWindow:
    """The candidates of stage 1, with their vectors and texts on demand.

    Attributes:
        candidates: what stage 1 found.
        load: brings the window's documents into an index, best candidate first; called at most once.
        corpus: the index that stage 1 chose the window from, for operators that keep something prepared with it (see
            `LateIndex.prepare`); None where stage 1 ran inside a store.
    """

    candidates: CandidateStageResult
    load: Callable[[], LateIndex]
    corpus: LateIndex | None = None

    @cached_property
    def index(self) -> LateIndex:
        """The window's documents, best candidate first."""
        return self.load()

    @property
    def loaded_index(self) -> LateIndex | None:
        """The window's documents if a stage has loaded them, else None."""
        return self.__dict__.get("index")


@attrs.frozen(eq=False)
class StageResult:
    """What an operator of stage 2 or 3 returns.

    Attributes:
        scores: one score for each document that the operator scored, in the order in which it was given them.
        hits: the documents that go on, best first.
        profile: counts; time and executor are filled in by whoever runs the plan.
    """

    scores: LateScores
    hits: tuple[SearchHit, ...]
    profile: SearchStageProfile


class Stage2ReferenceOperator(ABC):
    """Gives the candidate window its reference scores.

    Attributes:
        kind: the name under which the operator is registered.
        family: family of artifacts that it reads, or "none".
        executes_reference_scoring: whether it computes scores, rather than passing stage 1's on.
    """

    kind: ClassVar[str]
    family: ClassVar[str] = LATE_INTERACTION_FAMILY
    executes_reference_scoring: ClassVar[bool] = True

    @property
    def required_artifact_families(self) -> tuple[str, ...]:
        """Artifacts that must be loadable for the window."""
        return (self.family,) if self.executes_reference_scoring else ()

    @property
    def score_kind(self) -> str:
        """Kind of the scores that it computes: exact MaxSim. One that approximates must override it."""
        return EXACT_SCORE

    @abstractmethod
    def refine(self, query: LateQuery, window: CandidateWindow, *, k: int, executor: Executor) -> StageResult:
        """Score the window and return its `k` best, best first, equal scores in window order."""


class Stage3VerifierOperator(ABC):
    """Reorders what stage 2 scored, by evidence other than vectors.

    Attributes:
        kind: the name under which the operator is registered.
        family: family of artifacts that it reads, or "none".
        requires_query_text: whether it reads `query.text`.
        requires_document_texts: whether it reads the window's texts.
        is_noop: whether it passes hits on unchanged, so that stage 2 may already cut to `final_k`.
    """

    kind: ClassVar[str]
    family: ClassVar[str] = DOCUMENT_TEXT_FAMILY
    requires_query_text: ClassVar[bool] = False
    requires_document_texts: ClassVar[bool] = False
    is_noop: ClassVar[bool] = False

    @property
    def required_artifact_families(self) -> tuple[str, ...]:
        """Artifacts that must be loadable for the window."""
        return (DOCUMENT_TEXT_FAMILY,) if self.requires_document_texts else ()

    @abstractmethod
    def verify(self, query: LateQuery, window: CandidateWindow, prior: StageResult, *, k: int) -> StageResult:
        """Rescore the hits of stage 2 and return the `k` best, best first, equal scores in prior order."""
