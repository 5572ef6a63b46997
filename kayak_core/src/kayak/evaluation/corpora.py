"""What a plan is evaluated over: an index, a store, a retriever or a session, behind one face."""

from __future__ import annotations

import time
from functools import cached_property

from kayak.contracts import CandidateStageResult, LateStore, LateTextEncoder, SearchPlan, SearchPlanResult
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.retrieval import LateTextRetriever, LateTextSearchSession
from kayak.searching import generate_candidates, search_with_plan
from kayak.values import LateDocuments, LateIndex, LateQuery
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND

Corpus = LateIndex | LateStore | LateTextRetriever | LateTextSearchSession


class EvaluatedCorpus:
    """Runs plans over a corpus as a retriever does: inside the store, or over a slice that is loaded once.

    Args:
        corpus: the index, store, retriever or session.
        with_texts: whether the slice carries texts, because a verifier reads them.

    Attributes:
        store: the store behind the corpus, None for an index.
        encoder: the encoder behind the corpus, None where there is none.
        backend: the executor that the corpus prefers.
        load_seconds: time that loading the slice took; 0.0 for an index or where nothing has been loaded.

    Raises:
        InvalidTypeError: something else than a corpus.
    """

    def __init__(self, corpus: Corpus, *, with_texts: bool = False) -> None:
        if isinstance(corpus, LateDocuments) or not isinstance(
            corpus, (LateIndex, LateStore, LateTextRetriever, LateTextSearchSession)
        ):
            hint = "call .pack() on it" if isinstance(corpus, LateDocuments) else "kayak.open_store opens a store"
            raise InvalidTypeError(
                f"the corpus must be a LateIndex, a store or a retriever, got {type(corpus).__name__}; {hint}"
            )
        self._corpus = corpus
        self._with_texts = with_texts
        self.load_seconds = 0.0
        self.store: LateStore | None = None
        self.encoder: LateTextEncoder | None = None
        self.backend = NUMPY_REFERENCE_BACKEND
        if isinstance(corpus, (LateTextRetriever, LateTextSearchSession)):
            self.encoder = corpus.encoder
            self.backend = corpus.backend
        if isinstance(corpus, LateTextRetriever):
            self.store = corpus.store
        elif isinstance(corpus, LateStore):
            self.store = corpus

    @cached_property
    def index(self) -> LateIndex:
        """The documents as an index, loaded on first use.

        Raises:
            EmptySelectionError: the store is empty.
        """
        corpus = self._corpus
        if isinstance(corpus, LateIndex):
            return corpus
        if isinstance(corpus, LateTextSearchSession):
            return corpus.index
        start = time.perf_counter()
        if isinstance(corpus, LateTextRetriever):
            index = corpus.load_index(include_text=self._with_texts or None)
        else:
            index = corpus.load_index(include_text=self._with_texts)
        self.load_seconds = time.perf_counter() - start
        return index

    @property
    def document_count(self) -> int:
        """Number of documents."""
        if self.store is not None and "index" not in self.__dict__:
            return self.store.stats().document_count
        return self.index.document_count

    def search(self, query: LateQuery, plan: SearchPlan, backend: str) -> SearchPlanResult:
        """Run a plan for one query; see `kayak.search_with_plan`."""
        return search_with_plan(query, self._side(plan), plan, backend=backend)

    def candidates(self, query: LateQuery, plan: SearchPlan) -> CandidateStageResult:
        """Run a plan's first stage alone."""
        side = self._side(plan)
        generator, size = plan.candidate_generator, plan.candidate_k
        if isinstance(side, LateIndex):
            return generate_candidates(query, side, generator, k=size)
        return generator.generate_in_store(query, side, k=size)

    def prepare(self, plan: SearchPlan) -> None:
        """Bring what the plan searches into memory, so that no query's time includes it.

        Raises:
            InvalidInputError: the plan searches inside a store, and there is none.
            EmptySelectionError: the store is empty.
        """
        self._side(plan)

    def _side(self, plan: SearchPlan) -> LateIndex | LateStore:
        if plan.candidate_generator.corpus == "index":
            return self.index
        if self.store is None:
            raise InvalidInputError(
                f"{plan.candidate_generator.kind} searches inside a store, but the corpus is a "
                f"{type(self._corpus).__name__}; pass the store or a retriever, or leave that plan out"
            )
        return self.store


def reads_texts(plan: SearchPlan) -> bool:
    """Whether a plan needs the texts of documents."""
    return plan.stage3_verifier.requires_document_texts
