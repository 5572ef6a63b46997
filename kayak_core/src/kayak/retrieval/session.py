"""`LateTextSearchSession`: repeated searches of one loaded slice."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kayak.contracts import LateTextEncoder, SearchPlan, SearchPlanResult
from kayak.retrieval.encoding import encode_query, encode_query_batch
from kayak.searching import search, search_batch, search_with_plan
from kayak.typing import QueryTextsInput
from kayak.values import LateIndex, LateQuery, LateQueryBatch, SearchHit


@attrs.frozen(eq=False)
class LateTextSearchSession:
    """Searches one slice of a store that was loaded once; later changes of the store do not show.

    Sessions hold no state besides what they were made of, so that one may serve many threads, as far as its
    encoder may. Get one from `retriever.session(...)`.

    Attributes:
        encoder: encodes the queries.
        index: the loaded slice.
        backend: executor of the searches, unless one is named in the call.
    """

    encoder: LateTextEncoder
    index: LateIndex
    backend: str

    def search_text(self, text: str, *, k: int, backend: str | None = None) -> tuple[SearchHit, ...]:
        """Encode a text and return the `k` best documents by exact MaxSim."""
        return self.search_query(encode_query(self.encoder, text), k=k, backend=backend)

    def search_query(self, query: LateQuery, *, k: int, backend: str | None = None) -> tuple[SearchHit, ...]:
        """Return the `k` best documents for an encoded query by exact MaxSim; see `kayak.search`."""
        return search(query, self.index, k=k, backend=backend or self.backend)

    def search_text_batch(
        self, texts: QueryTextsInput, *, k: int, backend: str | None = None
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """Encode texts and return each one's `k` best documents, in one pass over the documents."""
        return self.search_query_batch(encode_query_batch(self.encoder, texts), k=k, backend=backend)

    def search_query_batch(
        self, queries: LateQueryBatch | Sequence[LateQuery], *, k: int, backend: str | None = None
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """Return each encoded query's `k` best documents, in one pass; see `kayak.search_batch`."""
        return search_batch(as_batch(queries), self.index, k=k, backend=backend or self.backend)

    def search_text_with_plan(self, text: str, plan: SearchPlan, *, backend: str | None = None) -> SearchPlanResult:
        """Encode a text and run a staged plan over the slice; see `kayak.search_with_plan`."""
        return self.search_query_with_plan(encode_query(self.encoder, text), plan, backend=backend)

    def search_query_with_plan(
        self, query: LateQuery, plan: SearchPlan, *, backend: str | None = None
    ) -> SearchPlanResult:
        """Run a staged plan over the slice for an encoded query; see `kayak.search_with_plan`."""
        return search_with_plan(query, self.index, plan, backend=backend or self.backend)


def as_batch(queries: LateQueryBatch | Sequence[LateQuery]) -> LateQueryBatch:
    """Return a batch, making one of a sequence of queries.

    Raises:
        InvalidTypeError: an element is no `LateQuery`.
        InvalidInputError: no query, or mixed dimensions.
    """
    return queries if isinstance(queries, LateQueryBatch) else LateQueryBatch.from_queries(queries)
