"""The operator keeps every promise of Kayak's conformance suite."""

from __future__ import annotations

import pytest
from kayak.testing import StageOperatorConformance
from kayak_centroids import ResidualMaxsim


class TestFourBits(StageOperatorConformance):
    @pytest.fixture
    def operator(self) -> ResidualMaxsim:
        return ResidualMaxsim(n_centroids=3)


class TestTwoBits(StageOperatorConformance):
    @pytest.fixture
    def operator(self) -> ResidualMaxsim:
        return ResidualMaxsim(residual_bits=2)


class TestRescored(StageOperatorConformance):
    """Windows of the suite hold fewer documents than are rescored, so all of their scores are exact."""

    @pytest.fixture
    def operator(self) -> ResidualMaxsim:
        return ResidualMaxsim(residual_bits=2, rescore_k=30, n_centroids=3)
