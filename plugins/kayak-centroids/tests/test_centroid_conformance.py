"""The generator keeps every promise of Kayak's conformance suite."""

from __future__ import annotations

import pytest
from kayak.testing import CandidateGeneratorConformance
from kayak_centroids import CentroidInteraction, centroid_interaction_candidate_generator


class TestDefaults(CandidateGeneratorConformance):
    @pytest.fixture
    def generator(self) -> CentroidInteraction:
        return centroid_interaction_candidate_generator()


class TestFewProbes(CandidateGeneratorConformance):
    """Most documents get imputed similarities only."""

    @pytest.fixture
    def generator(self) -> CentroidInteraction:
        return centroid_interaction_candidate_generator(n_probe=1, n_centroids=5, seed=3)
