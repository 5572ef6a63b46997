"""Residual codes kept beside a store's documents: found again, extended, merged, killed, damaged.

Run as a script, this module is a writer that changes documents and their codes until it is killed.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import numpy.typing as npt
import pytest
from kayak_centroids import CentroidInteraction, ResidualMaxsim, store_centroids, store_codes
from kayak_centroids.codes import IndexCodes
from kayak_centroids.stored_codes import codes_name

Matrix = npt.NDArray[Any]
DIM = 17
OPERATOR = ResidualMaxsim(residual_bits=4, n_centroids=30)
NAME = codes_name(4, OPERATOR.centroids.build_parameters)
EXECUTOR = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)


def topical(seed: int, count: int) -> list[Matrix]:
    themes = np.random.default_rng(99).standard_normal((60, DIM))
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        vectors = themes[rng.integers(0, 60, int(rng.integers(1, 8)))]
        vectors = vectors + 0.6 * rng.standard_normal(vectors.shape)
        documents.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return documents


def upsert(store: kayak.LateStore, seed: int, first: int, count: int) -> None:
    ids = [f"d{i}" for i in range(first, first + count)]
    rows = [{"even": i % 2 == 0} for i in range(first, first + count)]
    store.upsert(kayak.documents(ids, topical(seed, count)), metadata=rows)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[kayak.DirectoryLateStore]:
    with kayak.DirectoryLateStore(tmp_path / "store") as store:
        upsert(store, 0, 0, 200)
        yield store


def prepared(index: kayak.LateIndex) -> IndexCodes:
    codes = OPERATOR.prepare(index, EXECUTOR).value
    assert isinstance(codes, IndexCodes)
    return codes


def searched(
    corpus: kayak.LateIndex | kayak.LateStore,
    seed: int = 7,
    k: int = 20,
    rescore_k: int | None = None,
    **selection: Any,
) -> kayak.SearchPlanResult:
    plan = kayak.SearchPlan(
        kayak.exact_full_scan_candidate_generator(),
        ResidualMaxsim(residual_bits=4, n_centroids=30, rescore_k=rescore_k),
        kayak.none_stage3_verifier_operator(),
        k,
        200,
    )
    return kayak.search_with_plan(kayak.query(topical(seed, 1)[0]), corpus, plan, **selection)


def assert_codes_are_of_their_documents(index: kayak.LateIndex) -> None:
    """What codes stand for is as near to the vectors as was measured when they were coded."""
    codes = prepared(index)
    for number in range(index.document_count):
        vectors = index.document_token_matrix(number)
        found = codes.quantiser.decode(codes.document(number))
        assert found.shape == vectors.shape
        cosines = np.einsum("ij,ij->i", found, vectors)
        assert cosines.mean() == pytest.approx(codes.fit[number], abs=1e-5)
        assert cosines.mean() > 0.8  # those of another document would be near 0


def test_what_is_stored_is_used_and_gives_what_was_made(store: kayak.DirectoryLateStore) -> None:
    made = searched(store.load_index())
    assert "the store keeps no 4-bit codes of these parameters" in " ".join(made.stage2.notes)
    report = store_codes(store, OPERATOR)
    assert report.built_now
    assert report.document_count == 200
    assert report.rebuild_reason is None
    with kayak.DirectoryLateStore(store.path, read_only=True) as again:
        taken = searched(again.load_index())
        assert_codes_are_of_their_documents(again.load_index())
        parts = again.artifacts.read(NAME)
        assert not parts[1].arrays["residuals"].flags.writeable, "the codes are mapped"
    assert "the store keeps 4-bit codes of 200 of 200 documents" in taken.stage2.notes
    assert taken.hits == made.hits
    assert taken.stage2.preparation == made.stage2.preparation
    assert taken.stage2.bytes_read < made.stage2.bytes_read
    assert not store_codes(store, OPERATOR).built_now
    other = ResidualMaxsim(residual_bits=2, n_centroids=30)
    assert store_codes(store, other).built_now, "other bits are other codes"
    assert store.artifacts.names() == (NAME.replace("codes-4-", "codes-2-"), NAME)


def test_documents_written_since_are_coded_and_then_kept(store: kayak.DirectoryLateStore) -> None:
    store_codes(store, OPERATOR)
    upsert(store, 1, 200, 10)
    upsert(store, 2, 0, 5)
    index = store.load_index()
    attached = searched(index)
    notes = " ".join(attached.stage2.notes)
    assert "15 documents were coded over the stored centroids for this index alone" in notes
    assert "195 of 210 documents" in notes
    assert_codes_are_of_their_documents(index)
    report = store_codes(store, OPERATOR)
    assert not report.built_now
    kept = searched(store.load_index())
    assert "210 of 210 documents" in " ".join(kept.stage2.notes)
    assert "were coded" not in " ".join(kept.stage2.notes)
    assert kept.hits == attached.hits
    assert_codes_are_of_their_documents(store.load_index())


def test_deleted_documents_are_gone_and_compaction_changes_nothing(store: kayak.DirectoryLateStore) -> None:
    store_codes(store, OPERATOR)
    everything = searched(store.load_index(), k=200)
    store.delete([f"d{i}" for i in range(0, 200, 2)])
    left = [hit for hit in everything.hits if int(hit.doc_id[1:]) % 2]
    result = searched(store.load_index(), k=200)
    assert "100 of 100 documents" in " ".join(result.stage2.notes)
    assert [hit.doc_id for hit in result.hits] == [hit.doc_id for hit in left]
    store.compact()
    assert searched(store.load_index(), k=200).hits == result.hits
    store.delete([f"d{i}" for i in range(1, 60, 2)])  # now more than half of what is coded is gone
    store_codes(store, OPERATOR)
    piece = store.artifacts.read(NAME)[1].arrays
    assert len(piece["keys"]) == 70
    assert piece["offsets"][-1] == len(piece["scales"]) == store.load_index().total_vector_count
    assert_codes_are_of_their_documents(store.load_index())


def test_filters_and_ids_use_what_is_stored(store: kayak.DirectoryLateStore) -> None:
    store_codes(store, OPERATOR)
    everything = searched(store, k=200)
    even = searched(store, k=200, where={"even": True})
    assert "100 of 100 documents" in " ".join(even.stage2.notes)
    assert list(even.hits) == [hit for hit in everything.hits if int(hit.doc_id[1:]) % 2 == 0]
    assert {hit.doc_id for hit in searched(store, doc_ids=["d9", "d3"]).hits} == {"d3", "d9"}


def test_exact_scores_where_they_are_asked_for(store: kayak.DirectoryLateStore) -> None:
    store_codes(store, OPERATOR)
    result = searched(store, k=10, rescore_k=40)
    exact = kayak.search(kayak.query(topical(7, 1)[0]), store.load_index(), k=10)
    assert [hit.doc_id for hit in result.hits] == [hit.doc_id for hit in exact]
    for hit, expected in zip(result.hits, exact, strict=True):
        assert hit.score == pytest.approx(expected.score, abs=1e-5)
    assert result.reference_score_kind == "exact_score"


def test_new_centroids_leave_codes_valid(store: kayak.DirectoryLateStore) -> None:
    generator = OPERATOR.centroids
    store_centroids(store, generator)
    store_codes(store, OPERATOR)
    kept = store.artifacts.read(NAME)[0].arrays["centroids"]
    centroids = next(name for name in store.artifacts.names() if name != NAME)
    np.testing.assert_array_equal(kept, store.artifacts.read(centroids)[0].arrays["centroids"])
    before = searched(store.load_index()).hits
    upsert(store, 5, 300, 300)
    store_centroids(store, generator, rebuild=True)
    assert not np.array_equal(kept, store.artifacts.read(centroids)[0].arrays["centroids"])
    assert_codes_are_of_their_documents(store.load_index())
    store.delete([f"d{i}" for i in range(300, 600)])
    assert searched(store.load_index()).hits == before


def test_many_small_upserts_stay_few_pieces(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        upsert(store, 0, 0, 300)
        store_codes(store, OPERATOR)
        for number in range(30):
            upsert(store, 100 + number, 300 + 10 * number, 10)
            assert not store_codes(store, OPERATOR).built_now
        parts = store.artifacts.read(NAME)
        assert len(parts) <= 7
        assert sum(len(part.arrays["keys"]) for part in parts[1:]) == 600
        assert_codes_are_of_their_documents(store.load_index())


def test_levels_that_no_longer_suit_are_reported(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(kayak.documents(["a", "b"], [np.eye(DIM)[:2], np.eye(DIM)[2:3]]))
        assert store_codes(store, OPERATOR).mean_cosine == pytest.approx(1.0)
        upsert(store, 3, 0, 100)
        reason = store_codes(store, OPERATOR).rebuild_reason
        assert reason is not None
        assert "mean cosine" in reason
        report = store_codes(store, OPERATOR, rebuild=True)
        assert report.built_now
        assert report.rebuild_reason is None
        assert report.mean_cosine > 0.98
        assert_codes_are_of_their_documents(store.load_index())


def test_damage_is_an_error_and_a_rebuild_repairs_it(store: kayak.DirectoryLateStore) -> None:
    store_codes(store, OPERATOR)
    expected = searched(store.load_index()).hits
    (file,) = [part.file for part in store.artifacts.read(NAME)[1:]]
    assert file is not None
    path = store.path / "artifacts" / file
    whole = path.read_bytes()
    codes = store.artifacts.read(NAME)[1].arrays["residuals"].tobytes()
    for position in (whole.index(codes), whole.index(codes) + len(codes) - 1, 30):
        data = bytearray(whole)
        data[position] ^= 4
        path.write_bytes(data)
        with kayak.DirectoryLateStore(store.path) as again:
            with pytest.raises(kayak.StoreCorruptError, match="does not match its checksum"):
                searched(again.load_index())
            with pytest.raises(kayak.StoreCorruptError):
                store_codes(again, OPERATOR)
    with kayak.DirectoryLateStore(store.path) as again:
        store_codes(again, OPERATOR, rebuild=True)
        assert searched(again.load_index()).hits == expected


def test_another_format_is_refused(store: kayak.DirectoryLateStore) -> None:
    store.artifacts.write(NAME, [kayak.ArtifactPart({"format": 2}, {})])
    with pytest.raises(kayak.StoreVersionError, match="has format 2"):
        searched(store.load_index())
    with pytest.raises(kayak.StoreVersionError, match="rebuild=True"):
        store_codes(store, OPERATOR)
    assert store_codes(store, OPERATOR, rebuild=True).built_now
    assert "200 of 200" in " ".join(searched(store.load_index()).stage2.notes)


def test_stores_that_keep_nothing_say_so() -> None:
    with kayak.open_store("memory") as store:
        upsert(store, 0, 0, 20)
        with pytest.raises(kayak.UnsupportedOperationError, match="keeps no structures beside its documents"):
            store_codes(store, OPERATOR)
        assert len(searched(store.load_index()).stage2.notes) == 2


def test_empty_closed_and_read_only_stores(store: kayak.DirectoryLateStore, tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "empty") as empty, pytest.raises(kayak.EmptySelectionError):
        store_codes(empty, OPERATOR)
    with pytest.raises(kayak.InvalidTypeError, match="expected a ResidualMaxsim"):
        store_codes(store, CentroidInteraction())  # type: ignore[arg-type]  # wrong on purpose
    with (
        kayak.DirectoryLateStore(store.path, read_only=True) as reader,
        pytest.raises(kayak.UnsupportedOperationError, match="read_only"),
    ):
        store_codes(reader, OPERATOR)
    index = store.load_index()
    store.close()
    assert "the store is closed" in " ".join(searched(index).stage2.notes)


def write_until_killed(path: str) -> None:
    """Replace, delete and add documents, move them, and bring their codes up to date, again and again."""
    chance = random.Random(os.getpid())
    with kayak.DirectoryLateStore(path) as store:
        for number in itertools.count():
            upsert(store, chance.randrange(10_000), chance.randrange(60), 10)
            store.delete([f"d{chance.randrange(70)}"])
            if number % 4 == 3:
                store.compact()
            store_codes(store, OPERATOR, rebuild=number % 5 == 4)
            print(number, flush=True)


def test_a_kill_leaves_codes_of_the_documents_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with kayak.DirectoryLateStore(path) as store:
        upsert(store, 0, 0, 70)
        store_codes(store, OPERATOR)
    chance = random.Random(2)
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline()  # it is at work now
        delay = threading.Event()
        delay.wait(chance.random() * 0.1)  # the random instant is what is tested
        os.kill(writer.pid, signal.SIGKILL)
        writer.stdout.close()
        writer.wait()
        with kayak.DirectoryLateStore(path) as store:
            store.verify()
            assert store.artifacts.names() == (NAME,)
            index = store.load_index()
            notes = " ".join(searched(index).stage2.notes)
            assert f"of {index.document_count} documents" in notes
            assert_codes_are_of_their_documents(index)


if __name__ == "__main__":
    write_until_killed(sys.argv[1])
