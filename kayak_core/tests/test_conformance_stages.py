"""The built-in encoders, generators, operators and executor keep the promises of the conformance suites."""

from __future__ import annotations

import kayak
import numpy as np
import pytest
from kayak.builtin.numpy_maxsim import blas_is_position_invariant
from kayak.testing import (
    CandidateGeneratorConformance,
    EncoderConformance,
    ExecutorConformance,
    StageOperatorConformance,
)


def letters(text: str) -> np.ndarray:
    """One vector a character: a model small enough to be read."""
    return np.array([[ord(c) % 7 - 3.0, ord(c) % 5, ord(c) % 3, 1.0] for c in text], dtype=np.float32)


class TestCallableEncoder(EncoderConformance):
    @pytest.fixture
    def encoder(self):
        return kayak.CallableLateTextEncoder(letters, letters, fingerprint="letters-1")


class TestCallableModel(EncoderConformance):
    @pytest.fixture
    def encoder(self):
        class Model:
            def encode_query_tokens(self, text):
                return letters(text).tolist()

            def encode_document_tokens(self, text):
                return letters(text).astype(np.float64)

        return kayak.open_encoder("callable", model=Model())


class TestHashingEncoder(EncoderConformance):
    @pytest.fixture
    def encoder(self):
        return kayak.open_encoder("hashing")


class TestExactFullScan(CandidateGeneratorConformance):
    @pytest.fixture
    def generator(self):
        return kayak.exact_full_scan_candidate_generator()


@pytest.mark.parametrize("budgets", [(0, 0), (2, 3)], ids=["all", "budgets"])
class TestDocumentProxy(CandidateGeneratorConformance):
    @pytest.fixture
    def generator(self, budgets):
        return kayak.document_proxy_candidate_generator(
            query_vector_budget=budgets[0], document_vector_budget=budgets[1]
        )


class TestStoreNative(CandidateGeneratorConformance):
    @pytest.fixture
    def generator(self):
        return kayak.store_native_candidate_generator()


class TestNoopTopk(StageOperatorConformance):
    @pytest.fixture
    def operator(self):
        return kayak.noop_topk_stage2_reference_operator()


class TestExactLateInteraction(StageOperatorConformance):
    @pytest.fixture
    def operator(self):
        return kayak.exact_late_interaction_stage2_reference_operator()


class TestNoVerifier(StageOperatorConformance):
    @pytest.fixture
    def operator(self):
        return kayak.none_stage3_verifier_operator()


class TestClauseText(StageOperatorConformance):
    @pytest.fixture
    def operator(self):
        return kayak.clause_text_stage3_verifier_operator()


class TestNumpyReference(ExecutorConformance):
    # To the bit, except with a BLAS whose rounding depends on the place in the product (OpenBLAS for AVX2).
    batch_tolerance = 0.0 if blas_is_position_invariant(64) else 1e-6

    @pytest.fixture
    def executor(self):
        from kayak.builtin.numpy_executor import NumpyReferenceExecutor

        return NumpyReferenceExecutor()
