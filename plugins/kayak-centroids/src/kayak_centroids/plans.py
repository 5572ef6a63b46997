"""Constructors of the generator and of the plan around it, and the explicit preparation of an index."""

from __future__ import annotations

import kayak

from kayak_centroids.generator import CentroidInteraction
from kayak_centroids.postings_generator import CentroidPostings
from kayak_centroids.report import CentroidReport
from kayak_centroids.residual_maxsim import ResidualMaxsim
from kayak_centroids.structure import DEFAULT_ITERATIONS, DEFAULT_SAMPLE_PER_CENTROID, checked_index


def centroid_interaction_candidate_generator(
    *,
    n_probe: int = 16,
    n_centroids: int | None = None,
    seed: int = 0,
    iterations: int = DEFAULT_ITERATIONS,
    sample_per_centroid: int = DEFAULT_SAMPLE_PER_CENTROID,
) -> CentroidInteraction:
    """Return the generator that scores documents by the centroids of their token vectors.

    Args:
        n_probe: centroids that each query vector probes: the knob of recall against cost.
        n_centroids: centroids; None chooses by the number of token vectors, see `default_centroid_count`.
        seed: draws the sample and the first centroids; equal seeds give equal centroids.
        iterations: rounds of k-means.
        sample_per_centroid: token vectors that k-means sees, for each centroid.

    Raises:
        InvalidTypeError: a parameter that is no integer.
        InvalidInputError: a parameter below 1, or a negative seed.
    """
    return CentroidInteraction(
        n_probe=n_probe,
        n_centroids=n_centroids,
        seed=seed,
        iterations=iterations,
        sample_per_centroid=sample_per_centroid,
    )


def centroid_search_plan(
    final_k: int,
    candidate_k: int,
    *,
    n_probe: int = 16,
    n_centroids: int | None = None,
    seed: int = 0,
    residual_bits: int | None = None,
    rescore_k: int | None = None,
    stage2_reference_operator: kayak.Stage2ReferenceOperator | None = None,
    stage3_verifier: kayak.Stage3VerifierOperator | None = None,
) -> kayak.SearchPlan:
    """Describe centroid interaction followed by MaxSim on the candidates: exact, or from residual codes.

    Args:
        final_k: hits to return, ≥ 1.
        candidate_k: size of the candidate window, ≥ `final_k`.
        n_probe: centroids that each query vector probes.
        n_centroids: centroids; None chooses by the number of token vectors.
        seed: draws the sample and the first centroids.
        residual_bits: 2 or 4: score the candidates from codes of so many bits a component, see `ResidualMaxsim`; None
            reads their vectors.
        rescore_k: with `residual_bits`, how many of the best get exact scores; None returns approximate scores.
        stage2_reference_operator: `exact_late_interaction`, or `residual_maxsim` with `residual_bits`, unless given.
        stage3_verifier: none unless given.

    Raises:
        InvalidInputError: `final_k` < 1, `candidate_k` < `final_k`, a parameter out of range, or ones that exclude each
            other.
        InvalidTypeError: a number that is no integer, or a stage of the wrong type.
    """
    if residual_bits is not None:
        if stage2_reference_operator is not None:
            raise kayak.InvalidInputError(
                "residual_bits chooses the operator of stage 2, and stage2_reference_operator gives another one; pass "
                "one of them"
            )
        stage2_reference_operator = ResidualMaxsim(
            residual_bits=residual_bits, rescore_k=rescore_k, n_centroids=n_centroids, seed=seed
        )
    elif rescore_k is not None:
        raise kayak.InvalidInputError(
            "rescore_k chooses how many candidates get exact scores after residual codes; without residual_bits all of "
            "them do"
        )
    return kayak.SearchPlan(
        centroid_interaction_candidate_generator(n_probe=n_probe, n_centroids=n_centroids, seed=seed),
        stage2_reference_operator or kayak.exact_late_interaction_stage2_reference_operator(),
        stage3_verifier or kayak.none_stage3_verifier_operator(),
        final_k,
        candidate_k,
    )


def centroid_postings_candidate_generator(*, n_probe: int = 8) -> CentroidPostings:
    """Return the generator that lets a database choose the candidates by centroid postings.

    Args:
        n_probe: centroids that each query vector probes. More are no better where the database adds up all weights.

    Raises:
        InvalidTypeError: `n_probe` is no integer.
        InvalidInputError: `n_probe` is below 1.
    """
    return CentroidPostings(n_probe=n_probe)


def centroid_postings_plan(
    final_k: int,
    candidate_k: int,
    *,
    n_probe: int = 8,
    stage2_reference_operator: kayak.Stage2ReferenceOperator | None = None,
    stage3_verifier: kayak.Stage3VerifierOperator | None = None,
) -> kayak.SearchPlan:
    """Describe candidates by a database's centroid postings, followed by exact MaxSim on them.

    The corpus is a store with postings (`kayak.KeepsPostings`) to which `store_centroids` has written them. Only the
    candidates' vectors leave the database.

    Args:
        final_k: hits to return, ≥ 1.
        candidate_k: size of the candidate window, ≥ `final_k`.
        n_probe: centroids that each query vector probes.
        stage2_reference_operator: `exact_late_interaction` unless given.
        stage3_verifier: none unless given.

    Raises:
        InvalidInputError: `final_k` < 1, `candidate_k` < `final_k`, or `n_probe` < 1.
        InvalidTypeError: a number that is no integer, or a stage of the wrong type.
    """
    return kayak.SearchPlan(
        centroid_postings_candidate_generator(n_probe=n_probe),
        stage2_reference_operator or kayak.exact_late_interaction_stage2_reference_operator(),
        stage3_verifier or kayak.none_stage3_verifier_operator(),
        final_k,
        candidate_k,
    )


def prepare_centroids(
    index: kayak.LateIndex,
    generator: CentroidInteraction,
    *,
    backend: str = kayak.NUMPY_REFERENCE_BACKEND,
    show_progress: bool | None = None,
) -> CentroidReport:
    """Build what the generator needs for an index, unless an earlier search did, and say what it is like.

    Searching does the same on first use; this does it beforehand, with a progress bar.

    Args:
        index: the documents.
        generator: which centroids to build; generators that differ in `n_probe` only share them.
        backend: the backend that will search. It computes the centroids too, where it has kernels for them.
        show_progress: True shows a bar, False none; None shows one where tqdm is installed and stderr is a terminal.

    Raises:
        InvalidTypeError: not an index, or not a centroid generator.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
        MissingDependencyError: a bar is asked for and tqdm is not installed.
    """
    checked_index(index)
    if not isinstance(generator, CentroidInteraction):
        raise kayak.InvalidTypeError(
            f"expected a CentroidInteraction, got {type(generator).__name__}; make one with "
            "kayak_centroids.centroid_interaction_candidate_generator()"
        )
    prepared = generator.prepare(index, kayak.find_executor(backend), show_progress=show_progress)
    return CentroidReport.of(prepared, index)
