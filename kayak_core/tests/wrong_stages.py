"""Generators and operators that each break one promise; see `test_conformance_teeth.py`."""

from __future__ import annotations

import itertools
import threading

import attrs
import kayak
import numpy as np
import pytest
from hypothesis import Phase, settings
from kayak.builtin.clause_text import ClauseText
from kayak.builtin.generators import DocumentProxy, ExactFullScan, StoreNative
from kayak.builtin.operators import ExactLateInteraction, NoopTopk, NoVerifier
from kayak.testing import CandidateGeneratorConformance, StageOperatorConformance

settings.register_profile("teeth", phases=[Phase.generate], derandomize=True, database=None)
settings.load_profile("teeth")

WRONG: list[type] = []
SUITES = {"generator": CandidateGeneratorConformance, "operator": StageOperatorConformance}


def breaks(*tests):
    """Make a test class for a wrong implementation, which must fail these tests."""

    def make(cls):
        name = "generator" if issubclass(cls, kayak.CandidateGenerator) else "operator"
        body = {"breaks": tests, name: pytest.fixture(lambda self: cls()), "__module__": __name__}
        test_class = type(f"Test{cls.__name__}", (SUITES[name],), body)
        globals()[test_class.__name__] = test_class
        WRONG.append(test_class)
        return cls

    return make


def scaled(scores, factor):
    return kayak.LateScores.from_values(scores.backend, scores.doc_ids, scores.values * factor)


class Generating(ExactFullScan):
    """A generator whose result is changed on its way out."""

    def change(self, found, k, index):
        raise NotImplementedError

    def generate(self, query, index, *, k, executor):
        return self.change(super().generate(query, index, k=k, executor=executor), k, index)


@breaks("test_window_size")
class OneTooFew(Generating):
    def change(self, found, k, index):
        return attrs.evolve(found, hits=found.hits[:-1])


@breaks("test_best_first")
class WorstFirst(Generating):
    def change(self, found, k, index):
        return attrs.evolve(found, hits=found.hits[::-1])


@breaks("test_smaller_windows_are_prefixes")
class DependsOnK(Generating):
    def change(self, found, k, index):
        scores = scaled(found.scores, -1.0 if k % 2 else 1.0)
        return attrs.evolve(found, scores=scores, hits=scores.topk(k))


@breaks("test_ties_keep_index_order")
class LastTieFirst(Generating):
    def change(self, found, k, index):
        order = np.argsort(found.scores.values[::-1], kind="stable")
        order = len(order) - 1 - order
        hits = [kayak.SearchHit(index.doc_ids[i], float(found.scores.values[i])) for i in order[::-1]]
        hits.sort(key=lambda hit: (-hit.score, -index.doc_ids.index(hit.doc_id)))
        return attrs.evolve(found, hits=tuple(hits[:k]))


@breaks("test_profile")
class CountsNothing(Generating):
    def change(self, found, k, index):
        return attrs.evolve(found, profile=attrs.evolve(found.profile, output_hit_count=0))


@breaks("test_prepared_once")
class PreparesEachTime(Generating):
    def change(self, found, k, index):
        profile = attrs.evolve(found.profile, preparation="centroids", preparation_seconds=0.1)
        return attrs.evolve(found, profile=profile)


@breaks("test_prepared_once")
class HidesPreparation(DocumentProxy):
    def generate(self, query, index, *, k, executor):
        found = super().generate(query, index, k=k, executor=executor)
        return attrs.evolve(found, profile=attrs.evolve(found.profile, preparation_seconds=0.0))


CALLS = itertools.count()


@breaks("test_runs_are_identical")
class Drifts(Generating):
    def change(self, found, k, index):
        scores = scaled(found.scores, 1.0 + next(CALLS) / 1000)
        return attrs.evolve(found, scores=scores, hits=scores.topk(k))


@breaks("test_threads")
class OneThreadOnly(Generating):
    def change(self, found, k, index):
        main = threading.current_thread() is threading.main_thread()
        return found if main else attrs.evolve(found, hits=found.hits[::-1])


@breaks("test_blocks")
class FirstBlockOnly(Generating):
    def change(self, found, k, index):
        values = found.scores.values.copy()
        for part in index.slices[1:]:
            values[part.rows] = 0.0
        scores = kayak.LateScores.from_values("x", index.doc_ids, values)
        return attrs.evolve(found, scores=scores, hits=scores.topk(k))


@breaks("test_single_vectors")
class NeedsTwoDocuments(Generating):
    def change(self, found, k, index):
        return attrs.evolve(found, hits=() if index.document_count == 1 else found.hits)


@breaks("test_exact_scores_are_exact")
class AboutExact(Generating):
    def change(self, found, k, index):
        scores = scaled(found.scores, 1.01)
        return attrs.evolve(found, scores=scores, hits=scores.topk(k))


@breaks("test_is_a_value")
class MutableGenerator(ExactFullScan):
    __setattr__ = object.__setattr__


@breaks("test_describes_itself")
class NamelessScores(ExactFullScan):
    score_kind = ""


@breaks("test_dimensions_must_match")
class CutsTheQuery(ExactFullScan):
    def generate(self, query, index, *, k, executor):
        cut = kayak.query(query.as_vector_matrix()[:, : index.vector_dim])
        return super().generate(cut, index, k=k, executor=executor)


@breaks("test_runs_over_its_corpus_only")
class LoadsTheStore(ExactFullScan):
    def generate_in_store(self, query, store, *, k, where=None, doc_ids=None):
        return store.search_candidates(query, k=k)


@breaks("test_selects_inside_the_store")
class IgnoresFilters(StoreNative):
    def generate_in_store(self, query, store, *, k, where=None, doc_ids=None):
        return super().generate_in_store(query, store, k=k, doc_ids=doc_ids)


@breaks("test_serves_in_a_plan")
class MissesTheBest(Generating):
    def change(self, found, k, index):
        return attrs.evolve(found, hits=found.hits[1:])


class Refining(ExactLateInteraction):
    """An operator whose result is changed on its way out."""

    def change(self, result, window):
        raise NotImplementedError

    def refine(self, query, window, *, k, executor):
        return self.change(super().refine(query, window, k=k, executor=executor), window)


@breaks("test_keeps_the_best_of_the_window")
class DropsOneHit(Refining):
    def change(self, result, window):
        return attrs.evolve(result, hits=result.hits[:-1])


@breaks("test_best_first")
class WorstHitFirst(Refining):
    def change(self, result, window):
        return attrs.evolve(result, hits=result.hits[::-1])


@breaks("test_ties_keep_window_order")
class TiesByName(Refining):
    def change(self, result, window):
        return attrs.evolve(result, hits=tuple(sorted(result.hits, key=lambda hit: (-hit.score, hit.doc_id))))


@breaks("test_leaves_the_window_alone")
class EatsTheCandidates(Refining):
    def change(self, result, window):
        object.__setattr__(window.candidates, "hits", ())
        return result


@breaks("test_profile")
class HidesItsReading(Refining):
    def change(self, result, window):
        return attrs.evolve(result, profile=attrs.evolve(result.profile, materialized_artifacts=()))


@breaks("test_reads_only_what_it_declares")
class NoopThatLoads(NoopTopk):
    def refine(self, query, window, *, k, executor):
        window.index.as_packed_token_matrix()
        return super().refine(query, window, k=k, executor=executor)


@breaks("test_passes_through_if_declared")
class NoopThatScores(NoopTopk):
    def refine(self, query, window, *, k, executor):
        return ExactLateInteraction().refine(query, window, k=k, executor=executor)


@breaks("test_passes_through_if_declared")
class AboutExactly(Refining):
    def change(self, result, window):
        scores = scaled(result.scores, 1.01)
        return attrs.evolve(result, scores=scores, hits=scores.topk(len(result.hits)))


@breaks("test_missing_texts")
class MissingTextsAreEmpty(ClauseText):
    def verify(self, query, window, prior, *, k):
        index = window.index
        texts = [text or "" for text in index.doc_texts or [""] * index.document_count]
        filled = kayak.CandidateWindow(window.candidates, lambda: index.with_texts(texts))
        return super().verify(query, filled, prior, k=k)


@breaks("test_runs_are_identical")
class DriftingOperator(Refining):
    def change(self, result, window):
        scores = scaled(result.scores, 1.0 + next(CALLS) / 1000)
        return attrs.evolve(result, scores=scores, hits=scores.topk(len(result.hits)))


@breaks("test_is_a_value")
class MutableOperator(NoopTopk):
    __setattr__ = object.__setattr__


@breaks("test_describes_itself")
class VerifierWithoutFamily(NoVerifier):
    family = ""


@breaks("test_describes_itself")
class NamelessReferenceScores(ExactLateInteraction):
    score_kind = ""


@breaks("test_serves_in_a_plan")
class InventsADocument(Refining):
    def change(self, result, window):
        return attrs.evolve(result, hits=(kayak.SearchHit("invented", 9.0), *result.hits[1:]))
