"""The hooks through which Kayak finds the generator and the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kayak


def _open_generator(**parameters: Any) -> kayak.CandidateGenerator:
    from kayak_centroids.generator import CentroidInteraction

    return CentroidInteraction(**parameters)


def _open_operator(**parameters: Any) -> kayak.Stage2ReferenceOperator:
    from kayak_centroids.residual_maxsim import ResidualMaxsim

    return ResidualMaxsim(**parameters)


def _open_postings_generator(**parameters: Any) -> kayak.CandidateGenerator:
    from kayak_centroids.postings_generator import CentroidPostings

    return CentroidPostings(**parameters)


@kayak.hookimpl
def kayak_candidate_generators() -> Iterator[kayak.CandidateGeneratorSpec]:
    """Provide `centroid_interaction` and `centroid_postings`."""
    yield kayak.CandidateGeneratorSpec(
        name="centroid_interaction",
        factory=_open_generator,
        summary="inverted lists of token centroids: candidates without touching every document",
    )
    yield kayak.CandidateGeneratorSpec(
        name="centroid_postings",
        factory=_open_postings_generator,
        summary="centroid postings kept in a database: candidates chosen inside it",
    )


@kayak.hookimpl
def kayak_stage_operators() -> Iterator[kayak.StageOperatorSpec]:
    """Provide `residual_maxsim`."""
    yield kayak.StageOperatorSpec(
        name="residual_maxsim",
        stage=2,
        factory=_open_operator,
        summary="MaxSim over residual codes of 2 or 4 bits, with exact scores for the best on request",
    )
