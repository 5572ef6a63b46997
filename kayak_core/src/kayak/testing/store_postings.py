"""`PostingsConformance`: what a store that keeps postings promises."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kayak.contracts import (
    CandidateStageResult,
    Codebook,
    DocumentPostings,
    KeepsPostings,
    LateStore,
    PostingsQuery,
    PostingsStats,
)
from kayak.errors import CodebookMismatchError, InvalidInputError, StoreClosedError
from kayak.testing.reopening import Reopen, Reopening, required
from kayak.testing.rows import DIMENSION, ids_of, numbered_rows, write
from kayak.testing.threads import run_together
from kayak.values import LateQuery, query

TERMS = 40
Terms = Mapping[str, Sequence[int]]
Entry = tuple[int, int, float]
"""Number of a query vector, term, weight."""


class PostingsConformance(Reopening):
    """What a store that keeps postings promises, beside `StoreConformance`.

    Give the fixture `store`: a fresh, empty, open store that fulfils `kayak.KeepsPostings`. A store that declares
    `persistent` needs the fixture `reopen`, as for `StoreConformance`.
    """

    def test_postings_are_declared(self, store: LateStore) -> None:
        """A store that keeps postings says by which score it ranks."""
        assert isinstance(store, KeepsPostings)
        assert store.capabilities().postings in ("max", "sum", "bm25")

    def test_a_codebook_comes_back(self, store: Any) -> None:
        """The codebook comes back to the bit; there is none before, and another one replaces it."""
        write(store, numbered_rows(2))
        assert store.read_codebook() is None
        for seed in (0, 1):
            book = _codebook(seed)
            store.write_codebook(book)
            found = store.read_codebook()
            assert found.identity == book.identity
            assert found.vectors.tobytes() == book.vectors.tobytes()
            assert found.facts == book.facts

    def test_a_codebook_of_another_dimension_is_refused(self, store: Any) -> None:
        """A codebook has the dimension of the stored vectors, and an empty store takes none."""
        with pytest.raises(InvalidInputError):
            store.write_codebook(_codebook())
        write(store, numbered_rows(2))
        with pytest.raises(InvalidInputError):
            store.write_codebook(Codebook(np.ones((3, DIMENSION + 1), np.float32)))
        assert store.read_codebook() is None

    def test_unposted_documents_are_listed(self, store: Any) -> None:
        """Every document without terms is listed once, with its vectors; None lists all."""
        rows = numbered_rows(9)
        write(store, rows)
        assert _unposted(store, None) == set(ids_of(rows))
        book = _posted(store, {f"doc-{n}": [n] for n in range(5)})
        assert _unposted(store, book.identity) == {f"doc-{n}" for n in range(5, 9)}
        assert _unposted(store, None) == set(ids_of(rows))
        assert store.postings_stats() == PostingsStats(book.identity, 5, 4)
        expected = {row.doc_id: row.vectors.tobytes() for row in rows}
        for batch in store.unposted_documents(book.identity):
            assert len(batch.revisions) == batch.documents.document_count
            for doc_id, matrix in zip(batch.documents.doc_ids, batch.documents.token_matrices, strict=True):
                assert matrix.tobytes() == expected[doc_id]

    def test_search_ranks_by_the_declared_score(self, store: Any) -> None:
        """Candidates are the documents that hold a term, ranked by the declared score."""
        count = 12
        write(store, numbered_rows(count))
        every = st.lists(st.integers(0, TERMS - 1), min_size=1, max_size=6, unique=True)
        seeds = itertools.count(2)
        entry = st.tuples(st.integers(0, 2), st.integers(0, TERMS - 1), st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0]))

        @self.settings(examples=max(1, self.examples // 3))
        @given(st.lists(every, min_size=count, max_size=count), st.lists(entry, min_size=1, unique_by=lambda e: e[:2]))
        def check(terms: list[list[int]], entries: list[Entry]) -> None:
            held = {f"doc-{n}": sorted(each) for n, each in enumerate(terms)}
            book = _posted(store, held, seed=next(seeds))  # another codebook, so that all terms are written anew
            assert_found(store, held, entries, _search(store, book, entries, k=count), k=count)
            assert_found(store, held, entries, _search(store, book, entries, k=3), k=3)

        check()

    def test_search_ranks_more_matches_higher(self, store: Any) -> None:
        """Of documents with equally many terms, one that holds the heavier ones comes first, by any score."""
        write(store, numbered_rows(6))
        held = {f"doc-{n}": sorted({n, 10 + n, 20 + n, 30}) for n in range(6)}
        book = _posted(store, held)
        entries = [(0, 3, 4.0), (1, 13, 2.0), (2, 14, 1.0), (0, 30, 0.5)]
        assert _search(store, book, entries, k=6).candidate_doc_ids[:2] == ("doc-3", "doc-4")

    def test_search_selects_inside(self, store: Any) -> None:
        """`where` and `doc_ids` restrict the search itself: the window is filled from what they select."""
        write(store, numbered_rows(12))
        held = {f"doc-{n}": sorted({n, 20, 21}) for n in range(12)}
        book = _posted(store, held)
        entries = [(0, 20, 1.0), (1, 3, 0.5), (1, 7, 0.25)]
        find = partial(_search, store, book, entries)
        assert set(find(k=6, where={"even": False}).candidate_doc_ids) == {f"doc-{n}" for n in range(1, 12, 2)}
        assert find(k=2, where={"even": False}).candidate_doc_ids == ("doc-3", "doc-7")
        assert find(k=5, where={"number": {"$in": [3, 4]}}).candidate_doc_ids == ("doc-3", "doc-4")
        assert find(k=3, where={"number": 99}).hits == ()
        assert set(find(k=9, doc_ids=["doc-3", "unknown", "doc-8"]).candidate_doc_ids) == {"doc-3", "doc-8"}
        assert find(k=9, doc_ids=["doc-3", "doc-8"], where={"even": True}).candidate_doc_ids == ("doc-8",)
        assert find(k=3, doc_ids=["unknown"]).hits == ()
        assert find(k=3, doc_ids=[]).hits == ()
        # A value that no engine orders as Kayak does is compared in the client, before the window is cut.
        assert find(k=2, where={"$or": [{"number": {"$in": [[3]]}}, {"number": 7}]}).candidate_doc_ids == ("doc-7",)

    def test_a_replaced_document_has_no_terms(self, store: Any) -> None:
        """Writing a document takes its terms away: it is no longer found by them, and listed as unposted."""
        write(store, numbered_rows(6))
        book = _posted(store, {f"doc-{n}": [n] for n in range(6)})
        write(store, numbered_rows(2, version=1))
        assert _unposted(store, book.identity) == {"doc-0", "doc-1"}
        found = _search(store, book, [(0, 0, 1.0), (0, 3, 0.5)], k=6)
        assert found.candidate_doc_ids[0] == "doc-3"
        assert dict(_hits(found))["doc-0"] == 0.0
        assert any("2 selected documents have no postings" in note for note in found.profile.notes)
        assert _post(store, book, {"doc-0": [30]}) == 1
        assert _unposted(store, book.identity) == {"doc-1"}
        assert _search(store, book, [(0, 30, 1.0)], k=1, doc_ids=["doc-0"]).candidate_doc_ids == ("doc-0",)
        assert _search(store, book, [(0, 0, 1.0)], k=6, doc_ids=["doc-0"]).hits == ()

    def test_a_deleted_document_is_not_found(self, store: Any) -> None:
        """Deleting a document takes its terms away, also where it is written again."""
        write(store, numbered_rows(4))
        book = _posted(store, {f"doc-{n}": [7] for n in range(4)})
        store.delete(["doc-1", "doc-2"])
        assert set(_search(store, book, [(0, 7, 1.0)], k=4).candidate_doc_ids) == {"doc-0", "doc-3"}
        assert store.postings_stats() == PostingsStats(book.identity, 2, 0)
        write(store, numbered_rows(2, version=3)[1:])
        assert _unposted(store, book.identity) == {"doc-1"}

    def test_too_many_unposted_documents_are_left_out_and_counted(self, store: Any) -> None:
        """Documents without terms fill at most half of the window; where there are more, the notes say so."""
        write(store, numbered_rows(9))
        book = _posted(store, {"doc-0": [1], "doc-1": [1]})
        found = _search(store, book, [(0, 1, 1.0)], k=4)
        assert set(found.candidate_doc_ids) == {"doc-0", "doc-1"}
        assert any("more than 2 selected documents have no postings" in note for note in found.profile.notes)
        some = _search(store, book, [(0, 1, 1.0)], k=2, doc_ids=["doc-0", "doc-1", "doc-5"])
        assert some.candidate_doc_ids[1] == "doc-5"

    def test_terms_of_vectors_that_are_gone_are_refused(self, store: Any) -> None:
        """Terms made from vectors that were replaced or deleted meanwhile are not written."""
        write(store, numbered_rows(3))
        book = _codebook()
        store.write_codebook(book)
        seen = list(store.unposted_documents(book.identity))
        write(store, numbered_rows(1, version=5))
        store.delete(["doc-1"])
        written = sum(
            store.write_postings(book.identity, _of(each.documents.doc_ids, each.revisions, {})) for each in seen
        )
        assert written == 1
        assert _unposted(store, book.identity) == {"doc-0"}
        assert store.write_postings(book.identity, _of((), (), {})) == 0

    def test_another_codebook_takes_all_terms_away(self, store: Any) -> None:
        """Terms belong to one codebook: another one begins without any, the same one changes nothing."""
        write(store, numbered_rows(3))
        held = {f"doc-{n}": [n] for n in range(3)}
        first = _posted(store, held)
        store.write_codebook(first)
        assert store.postings_stats() == PostingsStats(first.identity, 3, 0)
        second = _codebook(1)
        store.write_codebook(second)
        assert store.postings_stats() == PostingsStats(second.identity, 0, 3)
        assert _search(store, second, [(0, 0, 1.0)], k=2).hits == ()
        for use in (
            lambda: _search(store, first, [(0, 0, 1.0)], k=2),
            lambda: list(store.unposted_documents(first.identity)),
            lambda: store.write_postings(first.identity, _of(["doc-0"], ["0"], {})),
        ):
            with pytest.raises(CodebookMismatchError):
                use()
        _post(store, second, {"doc-1": [0]})
        found = _search(store, second, [(0, 0, 1.0)], k=1)
        assert found.candidate_doc_ids == ("doc-1",)

    def test_without_a_codebook_everything_says_so(self, store: Any) -> None:
        """A store without a codebook has no postings, and neither takes nor searches any."""
        write(store, numbered_rows(3))
        store.index_postings()
        assert store.postings_stats() == PostingsStats(None, 0, 3)
        book = _codebook()
        with pytest.raises(CodebookMismatchError):
            _search(store, book, [(0, 0, 1.0)], k=2)
        with pytest.raises(CodebookMismatchError):
            store.write_postings(book.identity, _of(["doc-0"], ["0"], {}))
        with pytest.raises(CodebookMismatchError):
            list(store.unposted_documents(book.identity))

    def test_postings_outlive_the_store_object(self, store: Any, reopened: Reopen | None) -> None:
        """Another object over the same data finds codebook and postings, and goes on."""
        if not store.capabilities().persistent:
            pytest.skip("the store does not declare persistent")
        write(store, numbered_rows(4))
        book = _posted(store, {f"doc-{n}": [n, 9] for n in range(3)})
        again: Any = required(reopened)(store)
        with again:
            assert again.read_codebook().identity == book.identity
            assert _unposted(again, book.identity) == {"doc-3"}
            found = _search(again, book, [(0, 9, 0.5), (1, 2, 1.0)], k=3, doc_ids=["doc-0", "doc-1", "doc-2"])
            assert found.candidate_doc_ids[0] == "doc-2"
            assert len(found.hits) == 3
            write(again, numbered_rows(3, version=1)[2:])
            assert _unposted(again, book.identity) == {"doc-2", "doc-3"}

    def test_any_id_has_postings(self, store: Any) -> None:
        """Ids are values, whatever they hold."""
        ids = ["it's", 'a "b"; DROP TABLE x; --', "%s %d {0}", "back\\slash", "日本 🙂", "x" * 600, " ", "$1"]
        rows = [attrs.evolve(row, doc_id=doc_id) for row, doc_id in zip(numbered_rows(len(ids)), ids, strict=True)]
        write(store, rows)
        book = _posted(store, {doc_id: [number, 30] for number, doc_id in enumerate(ids)})
        assert set(_search(store, book, [(0, 30, 1.0)], k=20).candidate_doc_ids) == set(ids)
        for number, doc_id in enumerate(ids):
            assert _search(store, book, [(0, number, 1.0)], k=1).candidate_doc_ids == (doc_id,)
            assert _search(store, book, [(0, 30, 1.0)], k=2, doc_ids=[doc_id]).candidate_doc_ids == (doc_id,)

    def test_writers_of_postings_wait_for_each_other(self, store: Any) -> None:
        """Several threads that post the same documents, while others are replaced, leave each posted once or not."""
        write(store, numbered_rows(12))
        book = _codebook()
        store.write_codebook(book)
        held = {f"doc-{n}": [n, 39] for n in range(12)}
        written: list[int] = []

        def post() -> None:
            written.append(_post(store, book, held))

        def replace() -> None:
            for version in range(1, 4):
                write(store, numbered_rows(3, version=version))

        run_together([post, post, replace])
        _post(store, book, held)
        assert store.postings_stats() == PostingsStats(book.identity, 12, 0)
        assert sum(written) >= 9
        assert_found(store, held, [(0, 39, 1.0)], _search(store, book, [(0, 39, 1.0)], k=20), k=20)

    def test_wrong_searches_are_refused(self, store: Any) -> None:
        """`k` below one, a query of another dimension, and a closed store are refused."""
        write(store, numbered_rows(2))
        book = _posted(store, {"doc-0": [0]})
        with pytest.raises(InvalidInputError):
            _search(store, book, [(0, 0, 1.0)], k=0)
        with pytest.raises(InvalidInputError):
            store.search_postings(query([[1.0] * (DIMENSION + 1)]), _asked(book, [(0, 0, 1.0)]), k=1)
        store.close()
        for use in (
            store.read_codebook,
            store.postings_stats,
            store.index_postings,
            lambda: store.write_codebook(book),
            lambda: list(store.unposted_documents(None)),
            lambda: store.write_postings(book.identity, _of(["doc-0"], ["0"], {})),
            lambda: _search(store, book, [(0, 0, 1.0)], k=1),
        ):
            with pytest.raises(StoreClosedError):
                use()


def assert_found(store: LateStore, held: Terms, entries: Sequence[Entry], found: CandidateStageResult, k: int) -> None:
    """Require the `k` best by the declared score, computed the slow way; by "bm25", documents that hold a term."""
    gains: dict[str, dict[int, list[float]]] = {}
    for doc_id, terms in held.items():
        for number, term, weight in entries:
            if term in terms:
                gains.setdefault(doc_id, {}).setdefault(number, []).append(weight)
    score = store.capabilities().postings
    combine: Callable[[Iterable[float]], float] = max if score == "max" else sum
    expected = {doc_id: sum(combine(each) for each in rows.values()) for doc_id, rows in gains.items()}
    hits = _hits(found)
    assert len(hits) == min(k, len(expected)), f"{len(hits)} candidates, {len(expected)} documents hold a term"
    assert len(dict(hits)) == len(hits), "a candidate comes twice"
    assert {doc_id for doc_id, _ in hits} <= expected.keys(), "a candidate holds none of the terms"
    values = [value for _, value in hits]
    assert values == sorted(values, reverse=True), "candidates are not sorted by score"
    if score != "bm25":
        best = sorted(expected.values(), reverse=True)[:k]
        assert values == pytest.approx(best, rel=1e-5)
        assert values == pytest.approx([expected[doc_id] for doc_id, _ in hits], rel=1e-5)


def _hits(found: CandidateStageResult) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in found.hits]


def _codebook(seed: int = 0) -> Codebook:
    vectors = np.random.default_rng(seed).standard_normal((TERMS, DIMENSION), dtype=np.float32)
    return Codebook(vectors, {"seed": seed, "text": 'a "quote", ümlaut and \\', "nothing": None, "list": [1, 2.5]})


def _asked(book: Codebook, entries: Sequence[Entry]) -> PostingsQuery:
    numbers, terms, weights = zip(*entries, strict=True)
    return PostingsQuery(
        book.identity, np.array(numbers, np.int32), np.array(terms, np.int32), np.array(weights, np.float32)
    )


def _search(store: Any, book: Codebook, entries: Sequence[Entry], **arguments: Any) -> CandidateStageResult:
    asked: LateQuery = query([[1.0, 0.0, 0.5, 0.0]] * 3)
    found: CandidateStageResult = store.search_postings(asked, _asked(book, entries), **arguments)
    return found


def _unposted(store: Any, codebook: str | None) -> set[str]:
    ids = [doc_id for batch in store.unposted_documents(codebook) for doc_id in batch.documents.doc_ids]
    assert len(set(ids)) == len(ids), f"a document is listed twice: {ids}"
    return set(ids)


def _of(doc_ids: Sequence[str], revisions: Sequence[str], held: Terms) -> DocumentPostings:
    terms = [np.unique(np.array(held.get(doc_id, [0]), np.int32)) for doc_id in doc_ids]
    offsets = np.cumsum([0, *map(len, terms)], dtype=np.int64)
    return DocumentPostings(tuple(doc_ids), tuple(revisions), offsets, np.concatenate([np.empty(0, np.int32), *terms]))


def _post(store: Any, book: Codebook, held: Terms) -> int:
    """Write the terms of those documents that have none."""
    written = 0
    for batch in list(store.unposted_documents(book.identity)):
        revision_of = dict(zip(batch.documents.doc_ids, batch.revisions, strict=True))
        ids = [doc_id for doc_id in revision_of if doc_id in held]
        written += store.write_postings(book.identity, _of(ids, [revision_of[doc_id] for doc_id in ids], held))
    store.index_postings()
    return written


def _posted(store: Any, held: Terms, *, seed: int = 0) -> Codebook:
    book = _codebook(seed)
    store.write_codebook(book)
    assert _post(store, book, held) == len(held)
    return book
