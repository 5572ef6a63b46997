"""Stores that each break one promise about postings; see `test_conformance_teeth.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import kayak
import numpy as np
import pytest
from hypothesis import Phase, settings
from kayak.testing import PostingsConformance

sys.path.insert(0, str(Path(__file__).parent))  # this module is also loaded without the folder's conftest
from postings_in_memory import MemoryPostings, MemoryPostingsStore

settings.register_profile("teeth", phases=[Phase.generate], derandomize=True, database=None)
settings.load_profile("teeth")

WRONG: list[type] = []


def breaks(*tests):
    """Make a test class for a wrong store, or for a store with a wrong engine, which must fail these tests."""

    def make(cls):
        store_class = cls
        if issubclass(cls, MemoryPostings):
            store_class = type(f"{cls.__name__}Store", (MemoryPostingsStore,), {"engine": cls})
        body = {
            "breaks": tests,
            "store": pytest.fixture(lambda self: store_class()),
            "reopen": pytest.fixture(lambda self: store_class.reopen),
            "__module__": __name__,
        }
        test_class = type(f"Test{cls.__name__}", (PostingsConformance,), body)
        globals()[test_class.__name__] = test_class
        WRONG.append(test_class)
        return cls

    return make


@breaks("test_postings_are_declared")
class DeclaresNothing(MemoryPostingsStore):
    def capabilities(self):
        return attrs.evolve(super().capabilities(), postings="none")


@breaks("test_a_codebook_comes_back")
class RoundsTheCodebook(MemoryPostings):
    def load_codebook(self):
        held = super().load_codebook()
        return held and kayak.Codebook(held.vectors.astype(np.float16), held.facts)


@breaks("test_a_codebook_of_another_dimension_is_refused")
class TakesAnyCodebook(MemoryPostingsStore):
    def write_codebook(self, codebook):
        self.postings.save_codebook(codebook)


@breaks("test_unposted_documents_are_listed")
class ListsSomeTwice(MemoryPostings):
    def unposted(self, codebook):
        for batch in super().unposted(codebook):
            yield batch
            yield batch


@breaks("test_search_ranks_by_the_declared_score")
class AddsAllWeights(MemoryPostings):
    def score(self, terms, query):
        return sum(w for t, w in zip(query.terms.tolist(), query.weights.tolist(), strict=True) if t in terms)


@breaks("test_search_ranks_more_matches_higher")
class IgnoresWeights(MemoryPostings):
    def score(self, terms, query):
        return float(len(set(terms) & set(query.terms.tolist())) > 0)


@breaks("test_search_selects_inside")
class CutsBeforeItSelects(MemoryPostings):
    def search(self, search):
        found = super().search(attrs.evolve(search, where=None, doc_ids=None))
        ids = set(self.selected(search))
        kept = [n for n, doc_id in enumerate(found.candidates.doc_ids) if doc_id in ids]
        scores = np.asarray(found.candidates.scores, dtype=np.float64)[kept]
        some = attrs.evolve(found.candidates, doc_ids=tuple(found.candidates.doc_ids[n] for n in kept), scores=scores)
        return attrs.evolve(found, candidates=some)


@breaks("test_a_replaced_document_has_no_terms", "test_terms_of_vectors_that_are_gone_are_refused")
class WritesWhatIsStale(MemoryPostingsStore):
    def write_documents(self, rows):
        held = dict(self.data.terms)
        revisions = dict(self.data.revisions)
        super().write_documents(rows)
        known = [row.doc_id for row in rows if row.doc_id in revisions]
        self.data.terms |= {doc_id: held[doc_id] for doc_id in known if doc_id in held}
        self.data.revisions |= {doc_id: revisions[doc_id] for doc_id in known}


@breaks("test_a_deleted_document_is_not_found")
class KeepsTermsOfTheDeleted(MemoryPostingsStore):
    def delete_documents(self, doc_ids):
        held = dict(self.data.terms)
        super().delete_documents(doc_ids)
        self.data.terms = held


@breaks("test_too_many_unposted_documents_are_left_out_and_counted")
class ForgetsTheUnposted(MemoryPostings):
    def search(self, search):
        return attrs.evolve(super().search(search), unposted_ids=())


@breaks("test_another_codebook_takes_all_terms_away")
class MixesCodebooks(MemoryPostings):
    def save_codebook(self, codebook):
        self.data.codebook = (codebook.data, codebook.identity)


@breaks("test_without_a_codebook_everything_says_so")
class NeedsNoCodebook(MemoryPostings):
    def require(self, codebook):
        pass


@breaks("test_postings_outlive_the_store_object")
class ForgetsWhenClosed(MemoryPostingsStore):
    def release(self):
        self.data.terms = {}


@breaks("test_any_id_has_postings")
class TrimsIds(MemoryPostings):
    def save(self, codebook, postings):
        return super().save(codebook, attrs.evolve(postings, doc_ids=tuple(i.strip() for i in postings.doc_ids)))


@breaks("test_writers_of_postings_wait_for_each_other")
class PostsInTwoSteps(MemoryPostings):
    def unchanged(self, doc_id, revision):
        return doc_id in self.data.revisions

    def save(self, codebook, postings):
        written = super().save(codebook, postings)
        with self.data.lock:  # the first few lose their terms, as if two writers had met
            for doc_id in postings.doc_ids[:1]:
                self.data.terms.pop(doc_id, None)
        return written


@breaks("test_wrong_searches_are_refused")
class AnswersWhenClosed(MemoryPostingsStore):
    def _check_open(self):
        pass
