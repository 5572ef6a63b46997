"""The core's own kinds, provided through the same hooks as any plugin's."""

from __future__ import annotations

from collections.abc import Iterator

from kayak.hookspecs import hookimpl
from kayak.specs import CandidateGeneratorSpec, EncoderSpec, ExecutorSpec, StageOperatorSpec, StoreSpec


@hookimpl
def kayak_encoders() -> Iterator[EncoderSpec]:
    """Provide `callable` and `hashing`."""
    from kayak.builtin.callable_encoder import open_callable_encoder
    from kayak.builtin.hashing import HashingEncoder

    yield EncoderSpec(name="callable", factory=open_callable_encoder, summary="adapts your own functions or model")
    yield EncoderSpec(
        name="hashing", factory=HashingEncoder, summary="lexical: hashed words and character n-grams, no model"
    )


@hookimpl
def kayak_stores() -> Iterator[StoreSpec]:
    """Provide `memory` and `kayak`."""
    from kayak.builtin.directory import DirectoryLateStore
    from kayak.builtin.memory_store import MemoryLateStore

    yield StoreSpec(name="memory", factory=MemoryLateStore, summary="in this process's memory, not persistent")
    yield StoreSpec(
        name="kayak",
        aliases=("directory",),
        factory=DirectoryLateStore,
        summary="one folder: SQLite catalog and memory-mapped vectors",
    )


@hookimpl
def kayak_candidate_generators() -> Iterator[CandidateGeneratorSpec]:
    """Provide `exact_full_scan`, `document_proxy` and `store_native`."""
    from kayak.builtin.generators import DocumentProxy, ExactFullScan, StoreNative

    yield CandidateGeneratorSpec(
        name=ExactFullScan.kind, factory=ExactFullScan, summary="exact MaxSim of every document"
    )
    yield CandidateGeneratorSpec(name=DocumentProxy.kind, factory=DocumentProxy, summary="one mean vector a document")
    yield CandidateGeneratorSpec(name=StoreNative.kind, factory=StoreNative, summary="the store's own search")


@hookimpl
def kayak_stage_operators() -> Iterator[StageOperatorSpec]:
    """Provide `noop_topk`, `exact_late_interaction`, `none` and `clause_text`."""
    from kayak.builtin.clause_text import ClauseText
    from kayak.builtin.operators import ExactLateInteraction, NoopTopk, NoVerifier

    yield StageOperatorSpec(name=NoopTopk.kind, stage=2, factory=NoopTopk, summary="keeps stage 1's scores")
    yield StageOperatorSpec(
        name=ExactLateInteraction.kind,
        stage=2,
        factory=ExactLateInteraction,
        summary="exact MaxSim of the candidates",
    )
    yield StageOperatorSpec(name=NoVerifier.kind, stage=3, factory=NoVerifier, summary="keeps stage 2's hits")
    yield StageOperatorSpec(
        name=ClauseText.kind, stage=3, factory=ClauseText, summary="adds evidence from the texts, clause by clause"
    )


@hookimpl
def kayak_executors() -> Iterator[ExecutorSpec]:
    """Provide `numpy_reference`."""
    from kayak.builtin.numpy_executor import NumpyReferenceExecutor

    yield ExecutorSpec(
        name=NumpyReferenceExecutor.name,
        factory=NumpyReferenceExecutor,
        summary="exact MaxSim in NumPy, the definition of correct",
        preference=0,
    )
