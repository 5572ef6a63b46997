"""Stores that each break one promise; `test_conformance_teeth.py` requires the suite to notice."""

from __future__ import annotations

import contextlib
import threading

import attrs
import kayak
import numpy as np
import pytest
from hypothesis import Phase, settings
from kayak.testing import StoreConformance
from kayak.values.blocks import offsets_from_counts

settings.register_profile("teeth", phases=[Phase.generate], derandomize=True, database=None)
settings.load_profile("teeth")

Memory = kayak.MemoryLateStore
WRONG: list[type] = []


def breaks(*tests):
    """Make a test class for a wrong store, which must fail these tests."""

    def make(cls):
        @pytest.fixture
        def store(self):
            return cls()

        body = {"breaks": tests, "store": store, "__module__": __name__}
        if hasattr(cls, "reopen"):
            body["reopen"] = pytest.fixture(lambda self: cls.reopen)
        test_class = type(f"Test{cls.__name__}", (StoreConformance,), body)
        globals()[test_class.__name__] = test_class
        WRONG.append(test_class)
        return cls

    return make


def altered(row, **changes):
    return attrs.evolve(row, **changes)


class Writing(Memory):
    """A store that changes rows on their way in."""

    def change(self, row):
        raise NotImplementedError

    def write_documents(self, rows):
        super().write_documents([self.change(row) for row in rows])


@breaks("test_vectors_come_back_bit_exact")
class LosesMinusZero(Writing):
    def change(self, row):
        return altered(row, vectors=row.vectors + np.float32(0))


@breaks("test_float16_rounds_to_nearest")
class TruncatesToFloat16(Writing):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), vector_dtypes=("float32", "float16"))

    def stats(self):
        return attrs.evolve(super().stats(), vector_dtype="float16")

    def change(self, row):
        bits = row.vectors.view(np.uint32) & np.uint32(0xFFFFE000)
        return altered(row, vectors=bits.view(np.float32))


@breaks("test_int8_rounds_within_half_a_code")
class TruncatesToInt8(Writing):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), vector_dtypes=("float32", "int8"))

    def stats(self):
        return attrs.evolve(super().stats(), vector_dtype="int8")

    def change(self, row):
        scales = np.abs(row.vectors).max(axis=1, keepdims=True).astype(np.float64) / 127
        return altered(row, vectors=(np.floor(row.vectors / (scales + (scales == 0))) * scales).astype(np.float32))


@breaks("test_documents_keep_their_lengths")
class CutsAt512(Writing):
    def change(self, row):
        return altered(row, vectors=row.vectors[:512])


@breaks("test_any_document_id")
class StripsIds(Writing):
    def change(self, row):
        return altered(row, doc_id=row.doc_id.strip() or "blank")


@breaks("test_any_text")
class EmptyTextIsNone(Writing):
    def change(self, row):
        return altered(row, text=row.text or None)


@breaks("test_any_metadata", "test_random_changes_match_the_memory_store")
class DropsNulls(Writing):
    def change(self, row):
        return altered(row, metadata={key: value for key, value in row.metadata.items() if value is not None})


@breaks("test_metadata_of_the_documents_themselves")
class IgnoresCarriedMetadata(Memory):
    def upsert(self, documents, *, metadata=None):
        super().upsert(documents, metadata=metadata or [None] * len(documents.doc_ids))


@breaks("test_texts_are_loaded_on_request_only")
class AlwaysLoadsTexts(Memory):
    def load_index(self, **selection):
        return super().load_index(**{**selection, "include_text": True})


@breaks("test_export_equals_load")
class LoadsBackwards(Memory):
    def load_index(self, **selection):
        index = super().load_index(**selection)
        numbers = np.arange(index.document_count)
        return index if selection.get("doc_ids") is not None else index.take(numbers[::-1])


@breaks("test_export_in_batches")
class IgnoresBatchSize(Memory):
    def documents(self, *, batch_size=1024, **selection):
        return super().documents(batch_size=1024, **selection)


@breaks("test_layouts", "test_flat_layout_needs_its_dimension")
class IgnoresLayout(Memory):
    def load_index(self, *, layout="packed", **selection):
        return super().load_index(**selection)


class Replacing(Memory):
    """A store that replaces documents its own way."""

    def replace(self, old, new):
        raise NotImplementedError

    def write_documents(self, rows):
        old = {row.doc_id: row for row in self.read_documents(None, None)}
        super().write_documents([self.replace(old[row.doc_id], row) if row.doc_id in old else row for row in rows])


@breaks("test_upsert_replaces_a_document_whole")
class KeepsOldText(Replacing):
    def replace(self, old, new):
        return altered(new, text=new.text if new.text is not None else old.text)


@breaks("test_upsert_of_new_and_known_ids_together")
class InsertsOnly(Replacing):
    def replace(self, old, new):
        return old


@breaks("test_filter_sees_replaced_metadata")
class FiltersByFirstMetadata(Replacing):
    def replace(self, old, new):
        return altered(new, metadata=old.metadata)


@breaks("test_delete")
class UnknownIdsRaise(Memory):
    def delete_documents(self, doc_ids):
        for doc_id in doc_ids:
            del self._rows[doc_id]


@breaks("test_delete_everything")
class KeepsTheLastDocument(Memory):
    def delete_documents(self, doc_ids):
        super().delete_documents(doc_ids[: len(self._rows) - 1])


@breaks("test_order")
class MovesReplacedToTheEnd(Memory):
    def write_documents(self, rows):
        with self._lock:
            for row in rows:
                self._rows.pop(row.doc_id, None)
            super().write_documents(rows)


@breaks("test_refused_input_writes_nothing", "test_failed_batch_leaves_nothing")
class WritesBeforeItChecks(Memory):
    def upsert(self, documents, *, metadata=None):
        if isinstance(documents, kayak.LateDocuments):
            super().upsert(documents)
        super().upsert(documents, metadata=metadata)


@breaks("test_one_dimension")
class MixesDimensions(Memory):
    def vector_dim(self):
        return None


@breaks("test_caller_may_reuse_its_memory")
class KeepsCallersMetadata(Memory):
    def upsert(self, documents, *, metadata=None):
        super().upsert(documents, metadata=metadata)
        for doc_id, row in zip(documents.doc_ids, metadata or (), strict=False):
            self._rows[doc_id] = altered(self._rows[doc_id], metadata=row)


@breaks("test_results_do_not_expose_the_store")
class SharesItsMetadata(Memory):
    def documents(self, **selection):
        for batch in super().documents(**selection):
            yield attrs.evolve(batch, metadata=tuple(self._rows[doc_id].metadata for doc_id in batch.doc_ids))


@breaks("test_an_index_outlives_later_writes")
class OverwritesInPlace(Memory):
    def write_documents(self, rows):
        for row in rows:
            known = self._rows.get(row.doc_id)
            if known is not None and known.vectors.shape == row.vectors.shape:
                known.vectors[:] = row.vectors
        super().write_documents(
            [
                altered(row, vectors=np.array(row.vectors))
                for row in rows
                if row.doc_id not in self._rows or self._rows[row.doc_id].vectors.shape != row.vectors.shape
            ]
        )

    def load_index(self, **selection):
        index = super().load_index(**selection)
        slices = []
        for number, doc_id in enumerate(index.doc_ids):
            vectors = self._rows[doc_id].vectors.view()
            vectors.flags.writeable = False
            block = kayak.IndexBlock(offsets_from_counts(np.array([len(vectors)])), vectors)
            slices.append(kayak.IndexSlice(block, None, np.array([number])))
        return attrs.evolve(index, slices=tuple(slices))


@breaks("test_doc_ids_give_the_order")
class SortsDocIds(Memory):
    def load_index(self, *, doc_ids=None, **selection):
        return super().load_index(doc_ids=sorted(doc_ids) if doc_ids is not None else None, **selection)


@breaks("test_malformed_doc_ids")
class ForgivesDocIds(Memory):
    def load_index(self, *, doc_ids=None, **selection):
        ids = None if doc_ids is None else [doc_ids] if isinstance(doc_ids, str) else list(dict.fromkeys(doc_ids))
        return super().load_index(doc_ids=ids, **selection)


@breaks("test_empty_selection")
class LoadsAllInsteadOfNothing(Memory):
    def load_index(self, **selection):
        try:
            return super().load_index(**selection)
        except kayak.EmptySelectionError:
            return super().load_index()


class Filtering(Memory):
    """A store with a filter language of its own."""

    def accepts(self, row, where):
        raise NotImplementedError

    def _select(self, doc_ids, where):
        condition = kayak.parse_where(where)
        rows = super()._select(doc_ids, None)
        return (row for row in rows if condition is None or self.accepts(row, condition))


@breaks("test_filter_operator", "test_random_filters")
class MissingKeysMatchNoNegation(Filtering):
    def accepts(self, row, where):
        return where.matches(row.metadata) and (not isinstance(where, kayak.Not) or where.keys() <= row.metadata.keys())


@breaks("test_filter_logic")
class OrMeansAnd(Filtering):
    def accepts(self, row, where):
        return (kayak.And(where.clauses) if isinstance(where, kayak.Or) else where).matches(row.metadata)


@breaks("test_filter_keys_are_literal")
class DotsArePaths(Filtering):
    def accepts(self, row, where):
        nested = row.metadata.get("a")
        inner = {f"a.{key}": value for key, value in nested.items()} if isinstance(nested, dict) else {}
        return where.matches({**row.metadata, **inner})


@breaks("test_filter_and_doc_ids_together")
class DocIdsWin(Memory):
    def _select(self, doc_ids, where):
        return super()._select(doc_ids, where if doc_ids is None else None)


@breaks("test_malformed_filters")
class IgnoresMalformedFilters(Memory):
    def _select(self, doc_ids, where):
        try:
            return super()._select(doc_ids, where)
        except kayak.FilterError:
            return super()._select(doc_ids, None)


@breaks("test_undeclared_selections_are_refused")
class IgnoresFilters(Memory):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), supports_metadata_filter=False)

    def _select(self, doc_ids, where):
        return super()._select(doc_ids, None)


@breaks("test_follows_the_protocol")
class CannotExport(Memory):
    documents = None


@breaks("test_close")
class ClosesOnce(Memory):
    def close(self):
        self._check_open()
        super().close()


@breaks("test_context_manager")
class EntersAsNobody(Memory):
    def __enter__(self):
        return None


@breaks("test_context_manager_lets_errors_through")
class SwallowsErrors(Memory):
    def __exit__(self, *error):
        self.close()
        return True


@breaks("test_documents_survive_closing")
class LosesTextsOnDisk(Memory):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), persistent=True, reports_generation=False)

    def generation(self):
        self._check_open()

    def reopen(self):
        again = type(self)()
        again._rows = {key: altered(row, text=None) for key, row in self._rows.items()}
        again._fingerprint = self._fingerprint
        return again


@breaks("test_documents_survive_closing")
class SaysPersistentAndCannotReopen(Memory):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), persistent=True)


@breaks("test_stats")
class CountsReplacementsTwice(Memory):
    count = 0

    def write_documents(self, rows):
        self.count += len(rows)
        super().write_documents(rows)

    def delete_documents(self, doc_ids):
        self.count -= sum(doc_id in self._rows for doc_id in doc_ids)
        super().delete_documents(doc_ids)

    def stats(self):
        return attrs.evolve(super().stats(), document_count=self.count)


@breaks("test_capabilities")
class UsesUnknownWords(Memory):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), native_candidates="sometimes")


@breaks("test_generation")
class GenerationOfCount(Memory):
    def generation(self):
        return len(self._rows)


@breaks("test_encoder_fingerprint")
class ForgetsItsEncoder(Memory):
    def write_documents(self, rows):
        super().write_documents(rows)
        self._fingerprint = None


@breaks("test_native_search_is_declared")
class SearchesUndeclared(Memory):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), native_candidates="none")


class Searching(Memory):
    """A store whose search goes wrong."""

    def change(self, found):
        return found

    def search_candidates(self, query, *, k, **selection):
        return self.change(super().search_candidates(query, k=k, **selection))


@breaks("test_native_search_finds_candidates")
class WorstFirst(Searching):
    def change(self, found):
        return attrs.evolve(found, hits=found.hits[::-1])


@breaks("test_native_search_is_exact_if_declared")
class ScoresAboutRight(Searching):
    def change(self, found):
        hits = tuple(kayak.SearchHit(hit.doc_id, hit.score * 1.01) for hit in found.hits)
        return attrs.evolve(found, hits=hits)


@breaks("test_native_search_selects_inside")
class FiltersAfterSearching(Memory):
    def search_candidates(self, query, *, k, where=None, doc_ids=None):
        found = super().search_candidates(query, k=k)
        kept = {row.doc_id for row in self._select(doc_ids, where)}
        return attrs.evolve(found, hits=tuple(hit for hit in found.hits if hit.doc_id in kept))


@breaks("test_native_search_of_an_empty_store")
class EmptySearchRaises(Memory):
    def search_candidates(self, query, **selection):
        self.load_index()
        return super().search_candidates(query, **selection)


@breaks("test_native_search_follows_changes")
class SearchesAnOldIndex(Memory):
    known = None

    def search_candidates(self, query, *, k, **selection):
        self.known = self.known or super().search_candidates(query, k=1000, **selection)
        return attrs.evolve(self.known, hits=self.known.hits[:k])


@breaks("test_native_search_refuses_wrong_input")
class ClampsK(Memory):
    def search_candidates(self, query, *, k, **selection):
        return super().search_candidates(query, k=max(k, 1), **selection)


@breaks("test_readers_see_whole_documents")
class ShowsHalfABatch(Memory):
    def __init__(self):
        super().__init__()
        self.seen = threading.Event()

    def write_documents(self, rows):
        half = len(rows) // 2 if self._rows else 0
        self._rows.update((row.doc_id, row) for row in rows[:half])
        self.seen.clear()
        self.seen.wait(1 if half else 0)  # until a reader has looked
        super().write_documents(rows)

    def read_documents(self, doc_ids, where):
        rows = list(self._rows.values())
        self.seen.set()
        return rows


@breaks("test_writers_wait_for_each_other")
class LosesConcurrentWrites(Memory):
    def __init__(self):
        super().__init__()
        self.meeting = threading.Barrier(3)

    def upsert(self, documents, *, metadata=None):
        kayak.BaseLateStore.upsert(self, documents, metadata=metadata)  # without the lock

    def write_documents(self, rows):
        copy = dict(self._rows)
        with contextlib.suppress(threading.BrokenBarrierError):
            self.meeting.wait(1)  # until the other writers hold their copies
        copy.update((row.doc_id, row) for row in rows)
        self._rows = copy


@breaks("test_copying_to_another_store_and_back")
class LosesTheLastFullPage(Memory):
    def documents(self, *, batch_size=1024, **selection):
        pages = list(super().documents(batch_size=batch_size, **selection))
        if pages and pages[-1].document_count == batch_size:
            pages.pop()
        return iter(pages)
