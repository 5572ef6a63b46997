"""What stage 1 returns."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from kayak.contracts.profile import SearchStageProfile
from kayak.values import LateIndex, LateScores, SearchHit


@attrs.frozen(eq=False)
class CandidateStageResult:
    """What stage 1 found.

    Attributes:
        generator: the generator that ran.
        scores: stage-1 scores: of every document of an index, or of the hits where a store chose them.
        hits: the candidate window, best first.
        profile: counts and cost.
    """

    generator: Any
    scores: LateScores
    hits: tuple[SearchHit, ...]
    profile: SearchStageProfile

    @classmethod
    def empty(cls, generator: Any, backend: str) -> CandidateStageResult:
        """Return what a generator finds where no document is selected: nothing."""
        scores = LateScores.from_values(backend, (), np.empty(0, dtype=np.float32))
        return cls(generator, scores, (), SearchStageProfile(generator.kind, 0, 0))

    @property
    def candidate_doc_ids(self) -> tuple[str, ...]:
        """The window's document ids, best first."""
        return tuple(hit.doc_id for hit in self.hits)

    def select_index(self, index: LateIndex) -> LateIndex:
        """Return the window as an index over the same memory, best candidate first.

        Raises:
            EmptySelectionError: the window is empty.
            InvalidInputError: the index lacks a candidate.
        """
        return index.select(self.candidate_doc_ids)
