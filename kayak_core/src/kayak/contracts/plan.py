"""`SearchPlan` describes a staged search; `SearchPlanResult` is what running it returns."""

from __future__ import annotations

from typing import Any

import attrs

from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.candidates import CandidateGenerator
from kayak.contracts.profile import SearchStageProfile
from kayak.contracts.stages import ReferenceScoringSemantics, Stage2ReferenceOperator, Stage3VerifierOperator
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.values import LateIndex, LateScores, SearchHit
from kayak.values.coerce import non_negative_int


def _instance_of(expected: type) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, expected):
            raise InvalidTypeError(
                f"{attribute.name} must be a {expected.__name__}, got {type(value).__name__} {value!r:.60}"
            )

    return check


def _positive(value: Any) -> int:
    return non_negative_int(value, "final_k and candidate_k", minimum=1)


@attrs.frozen
class SearchPlan:
    """Describes a staged search. Nothing runs until `kayak.search_with_plan`.

    Attributes:
        candidate_generator: stage 1, chooses the candidate window.
        stage2_reference_operator: stage 2, gives the window its reference scores.
        stage3_verifier: stage 3, reorders by other evidence.
        final_k: hits to return, ≥ 1.
        candidate_k: size of the candidate window, ≥ `final_k`.
        reference_scoring_semantics: what the reference scores mean.

    Raises:
        InvalidTypeError: a stage is not of its contract's type, or a size is no integer.
        InvalidInputError: `final_k` < 1 or `candidate_k` < `final_k`.
    """

    candidate_generator: CandidateGenerator = attrs.field(validator=_instance_of(CandidateGenerator))
    stage2_reference_operator: Stage2ReferenceOperator = attrs.field(validator=_instance_of(Stage2ReferenceOperator))
    stage3_verifier: Stage3VerifierOperator = attrs.field(validator=_instance_of(Stage3VerifierOperator))
    final_k: int = attrs.field(converter=_positive)
    candidate_k: int = attrs.field(converter=_positive)
    reference_scoring_semantics: ReferenceScoringSemantics = attrs.field(factory=ReferenceScoringSemantics)

    def __attrs_post_init__(self) -> None:
        if self.candidate_k < self.final_k:
            raise InvalidInputError(
                f"candidate_k ({self.candidate_k}) must be at least final_k ({self.final_k}): "
                "the final hits are chosen from the candidates"
            )


@attrs.frozen(eq=False)
class SearchPlanResult:
    """What a staged search returned, stage by stage.

    Attributes:
        plan: the plan that ran.
        hits: the final hits, best first.
        candidate_stage: what stage 1 found, with its profile.
        candidate_index: the window's documents, if a stage brought them into memory; else None.
        reference_scores: stage 2's scores of the window, in window order: of the documents of it that stage 2 scored.
        stage3_scores: stage 3's scores of the hits that stage 2 passed on, in that order; None without a verifier.
        stage2_reference: profile of stage 2.
        stage3_verifier: profile of stage 3.
        load_profile: cost of bringing a store's slice into memory before stage 1; None over an index or where
            stage 1 ran inside the store.
    """

    plan: SearchPlan
    hits: tuple[SearchHit, ...]
    candidate_stage: CandidateStageResult
    candidate_index: LateIndex | None
    reference_scores: LateScores
    stage3_scores: LateScores | None
    stage2_reference: SearchStageProfile
    stage3_verifier: SearchStageProfile
    load_profile: SearchStageProfile | None = None

    @property
    def reference_score_kind(self) -> str:
        """Kind of `reference_scores`: "exact_score" for exact MaxSim, else what the stage calls its approximation."""
        operator = self.plan.stage2_reference_operator
        if operator.executes_reference_scoring:
            return operator.score_kind
        return self.plan.candidate_generator.score_kind

    @property
    def stage2(self) -> SearchStageProfile:
        """Alias of `stage2_reference`."""
        return self.stage2_reference

    @property
    def profiles(self) -> tuple[SearchStageProfile, ...]:
        """The profiles of all stages that ran, in order."""
        stages = (
            self.load_profile,
            self.candidate_stage.profile,
            self.stage2_reference,
            self.stage3_verifier,
        )
        return tuple(profile for profile in stages if profile is not None)
