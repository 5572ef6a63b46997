"""Retrievers and sessions: text in, ranking out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kayak
import numpy as np
import pytest
from kayak.plugins import registry

TEXTS = {
    "doc-a": "Pixi installs Python, Mojo, and kayak together.",
    "doc-b": "LanceDB can keep multivector rows on disk.",
    "doc-c": "Postgres keeps rows as well, and has many indexes.",
}
METADATA = [{"topic": "installation"}, {"topic": "storage"}, {"topic": "storage"}]


class CountingStore(kayak.MemoryLateStore):
    """A memory store that counts its loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    def load_index(self, **kwargs: object) -> kayak.LateIndex:
        self.loads += 1
        return super().load_index(**kwargs)  # type: ignore[arg-type]


class Words:
    """A small model: one hashed vector a word; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode_query_tokens(self, text: str) -> np.ndarray:
        return np.stack([self._word(word) for word in text.lower().split()])

    encode_document_tokens = encode_query_tokens

    def _word(self, word: str) -> np.ndarray:
        vector = np.zeros(16)
        vector[sum(word.encode()) % 16] = 1.0
        return vector


class BatchWords:
    """The same with the batch half of the contract, and a fingerprint."""

    def __init__(self, fingerprint: str = "batch words") -> None:
        self.model = Words()
        self.fingerprint = fingerprint
        self.batches: list[int] = []

    def encode_query(self, text: str) -> kayak.LateQuery:
        return kayak.query(self.model.encode_query_tokens(text))

    def encode_queries(self, texts: Sequence[str]) -> list[kayak.LateQuery]:
        self.batches.append(len(texts))
        return [self.encode_query(text) for text in texts]

    def encode_document_vectors(self, text: str) -> np.ndarray:
        return self.model.encode_document_tokens(text)

    def encode_document_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.batches.append(len(texts))
        return [self.encode_document_vectors(text) for text in texts]

    def encode_documents(self, doc_ids: Sequence[str], texts: Sequence[str]) -> kayak.LateDocuments:
        return kayak.documents(doc_ids, self.encode_document_batch(texts), texts=texts)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def retriever(store: CountingStore) -> Iterator[kayak.LateTextRetriever]:
    with kayak.open_text_retriever(encoder=Words(), store=store) as retriever:
        retriever.upsert_texts(list(TEXTS), list(TEXTS.values()), metadata=METADATA)
        yield retriever


class TestOpening:
    def test_kinds_objects_and_models(self, tmp_path: Path) -> None:
        by_kind = kayak.open_text_retriever(
            encoder="callable", store="kayak", encoder_kwargs={"model": Words()}, store_kwargs={"path": tmp_path / "i"}
        )
        with by_kind:
            by_kind.upsert_texts(["a"], ["hello world"])
            assert by_kind.search_text("hello", k=1)[0].doc_id == "a"
        with pytest.raises(kayak.StoreClosedError, match="is closed"):
            by_kind.stats()
        assert kayak.open_text_retriever(encoder=BatchWords(), store="memory").backend in kayak.available_backends()

    def test_an_owned_store_is_left_open(self, store: CountingStore) -> None:
        kayak.open_text_retriever(encoder=Words(), store=store).close()
        assert store.stats().document_count == 0

    def test_method_names(self) -> None:
        class Other:
            query_tokens = document_tokens = Words.encode_query_tokens
            _word = Words._word

        retriever = kayak.open_text_retriever(
            encoder=Other(),
            store="memory",
            encoder_kwargs={"query_method": "query_tokens", "document_method": "document_tokens"},
        )
        retriever.upsert_texts(["a"], ["hello"])
        assert retriever.search_text("hello", k=1)

    @pytest.mark.parametrize(
        ("kwargs", "error", "message"),
        [
            ({"encoder": "nope"}, kayak.UnknownKindError, "unknown encoder kind 'nope'; available: callable, "),
            ({"encoder": "hashin"}, kayak.UnknownKindError, "did you mean 'hashing'?"),
            ({"store": 3}, TypeError, "store must be a store kind or an open store, got int without upsert"),
            ({"store": kayak.MemoryLateStore}, TypeError, "(a class; make an instance)"),
            ({"encoder": object()}, TypeError, "object has no method 'encode_query_tokens'"),
            ({"encoder_kwargs": {"x": 1}}, ValueError, "but encoder is already a BatchWords"),
            (
                {"store": kayak.MemoryLateStore(), "store_kwargs": {"x": 1}},
                ValueError,
                "store is already a MemoryLateStore",
            ),
            (
                {"store_kwargs": {"path": "x"}},
                TypeError,
                "open_store('memory'): got an unexpected keyword argument 'path'",
            ),
            ({"backend": "gpu"}, kayak.UnknownKindError, "unknown backend kind 'gpu'"),
            ({"default_layout": "nested"}, ValueError, "unknown index layout 'nested'"),
        ],
    )
    def test_refusals(self, kwargs: dict[str, object], error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            kayak.open_text_retriever(**({"encoder": BatchWords(), "store": "memory"} | kwargs))  # type: ignore[arg-type]
        assert message in str(caught.value)

    @pytest.mark.parametrize("argument", ["encoder", "store"])
    def test_a_kind_of_ours_that_is_not_installed(self, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(registry.FIRST_PARTY, "absent", "kayak-absent")
        with pytest.raises(kayak.UnknownKindError, match="`pip install kayak-absent` provides 'absent'"):
            kayak.open_text_retriever(**({"encoder": BatchWords(), "store": "memory"} | {argument: "absent"}))  # type: ignore[arg-type]

    def test_a_store_opened_in_vain_is_closed(self, tmp_path: Path) -> None:
        path = tmp_path / "index"
        with kayak.open_text_retriever(encoder=BatchWords("one"), store="kayak", store_kwargs={"path": path}) as first:
            first.upsert_texts(["a"], ["hello"])
        with pytest.raises(kayak.EncoderMismatchError, match="encoded by 'one', but this encoder is 'two'"):
            kayak.open_text_retriever(encoder=BatchWords("two"), store="kayak", store_kwargs={"path": path})


class TestUpsert:
    def test_batches_and_texts(self, store: CountingStore) -> None:
        encoder = BatchWords()
        retriever = kayak.open_text_retriever(encoder=encoder, store=store)
        retriever.upsert_texts([f"d{i}" for i in range(7)], ["some text"] * 7, batch_size=3, show_progress=False)
        assert encoder.batches == [3, 3, 1]
        assert store.load_index(include_text=True).doc_texts == ("some text",) * 7
        assert store.encoder_fingerprint() == "batch words"

    def test_stream(self, store: CountingStore) -> None:
        retriever = kayak.open_text_retriever(encoder=Words(), store=store)
        rows = (("a" if i == 4 else f"d{i}", f"text {i}", {"i": i}) for i in range(5))
        assert retriever.upsert_text_stream(rows, batch_size=2) == 5
        assert retriever.upsert_text_stream([("a", "old", None), ("a", "new", None)]) == 2
        assert store.load_index(doc_ids=["a"], include_text=True).doc_texts == ("new",)

    def test_everything_is_checked_before_anything_is_stored(self, retriever: kayak.LateTextRetriever) -> None:
        before = retriever.store.generation()
        with pytest.raises(ValueError, match="2 texts for 1 doc_ids"):
            retriever.upsert_texts(["x"], ["a", "b"])
        with pytest.raises(ValueError, match="metadata"):
            retriever.upsert_texts(["x", "y"], ["a", "b"], metadata=[{}], batch_size=1)
        with pytest.raises(ValueError, match="'y'"):
            retriever.upsert_texts(["x", "y"], ["a", "b"], metadata=[{}, {"v": float("nan")}], batch_size=1)
        with pytest.raises(ValueError, match="batch_size must be ≥ 1, got 0"):
            retriever.upsert_texts(["x"], ["a"], batch_size=0)
        with pytest.raises(TypeError, match=r"texts\[0\] must be a string, got int"):
            retriever.upsert_texts(["x"], [3])  # type: ignore[list-item]
        assert retriever.store.generation() == before

    def test_progress(self, retriever: kayak.LateTextRetriever, capfd: pytest.CaptureFixture[str]) -> None:
        retriever.upsert_texts(["x"], ["a"], show_progress=True)
        assert "indexing" in capfd.readouterr().err
        retriever.upsert_texts(["x"], ["a"])
        assert capfd.readouterr().err == ""

    def test_progress_without_tqdm(self, retriever: kayak.LateTextRetriever, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "path", [])  # nothing that is not imported yet can be found
        retriever.upsert_texts(["x"], ["a"])
        with pytest.raises(kayak.MissingDependencyError, match=r"pip install 'kayak-core\[progress\]'"):
            retriever.upsert_texts(["x"], ["a"], show_progress=True)

    def test_a_text_that_cannot_be_encoded_is_named(self) -> None:
        retriever = kayak.open_text_retriever(encoder="hashing", store="memory")
        with pytest.raises(kayak.EncodingError, match="document 'b' cannot be encoded"):
            retriever.upsert_texts(["a", "b"], ["some words", " "])
        assert retriever.stats().document_count == 0

        class OnlyInBatches(BatchWords):
            def encode_document_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
                raise kayak.EncodingError("batches are not possible")

        with pytest.raises(kayak.EncodingError, match="batches are not possible"):
            kayak.open_text_retriever(encoder=OnlyInBatches(), store="memory").upsert_texts(["a"], ["b"])

    def test_encoders_that_break_the_contract_are_named(self) -> None:
        class Short(BatchWords):
            def encode_document_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
                return []

            def encode_queries(self, texts: Sequence[str]) -> list[kayak.LateQuery]:
                return []

            def encode_query(self, text: str) -> kayak.LateQuery:
                return self.model.encode_query_tokens(text)  # type: ignore[return-value]

        short = kayak.open_text_retriever(encoder=Short(), store="memory")
        with pytest.raises(kayak.EncodingError, match="returned 0 matrices for 1 texts"):
            short.upsert_texts(["x"], ["a"])
        with pytest.raises(kayak.EncodingError, match="returned 0 queries for 2 texts"):
            short.search_text_batch(["a", "b"], k=1)
        with pytest.raises(kayak.EncodingError, match="must encode a query as a LateQuery, got ndarray"):
            short.search_text("a", k=1)

        class Swapped(Words):
            encode_query = BatchWords.encode_query
            encode_document_vectors = Words.encode_query_tokens
            model = Words()

            def encode_documents(self, doc_ids: Sequence[str], texts: Sequence[str]) -> kayak.LateDocuments:
                return kayak.documents(["other"], [np.eye(2)])

        swapped = kayak.open_text_retriever(encoder=Swapped(), store="memory")
        with pytest.raises(kayak.EncodingError, match="must return LateDocuments with the ids that it was given"):
            swapped.upsert_texts(["x"], ["a"])

    def test_deleting(self, retriever: kayak.LateTextRetriever) -> None:
        retriever.delete(["doc-a", "no such id"])
        assert retriever.stats().document_count == 2
        assert "doc-a" not in [hit.doc_id for hit in retriever.search_text("kayak", k=5)]


class TestSearch:
    def test_text_and_query(self, retriever: kayak.LateTextRetriever) -> None:
        hits = retriever.search_text("kayak together.", k=2)
        assert hits[0].doc_id == "doc-a"
        query = retriever.encode_query("kayak together.")
        assert query.text == "kayak together."
        assert retriever.search_query(query, k=2) == hits
        assert retriever.search_text_batch(["kayak together.", "rows"], k=2)[0] == hits
        assert retriever.search_query_batch([query], k=2) == (hits,)
        assert retriever.search_query_batch(kayak.query_batch([query]), k=2) == (hits,)

    def test_restrictions(self, retriever: kayak.LateTextRetriever) -> None:
        hits = retriever.search_text("rows", k=5, where={"topic": "storage"})
        assert {hit.doc_id for hit in hits} == {"doc-b", "doc-c"}
        assert [hit.doc_id for hit in retriever.search_text("rows", k=5, doc_ids=["doc-c"])] == ["doc-c"]

    def test_nothing_selected_gives_no_hits(self, retriever: kayak.LateTextRetriever) -> None:
        where = {"topic": "none"}
        plan = kayak.document_proxy_search_plan(1, 2)
        assert retriever.search_text("rows", k=5, where=where) == ()
        assert retriever.search_text_batch(["rows", "disk"], k=5, where=where) == ((), ())
        assert retriever.search_text_with_plan("rows", plan, where=where).hits == ()
        with pytest.raises(kayak.EmptySelectionError, match=r"no document of store 'memory' is selected by where="):
            retriever.load_index(where=where)
        with pytest.raises(kayak.EmptySelectionError, match=r"selected by doc_ids \(1 given\)"):
            retriever.session(doc_ids=["zzz"])
        empty = kayak.open_text_retriever(encoder=Words(), store="memory")
        assert empty.search_text("rows", k=3) == ()
        with pytest.raises(kayak.EmptySelectionError, match="store 'memory' holds no documents; upsert some first"):
            empty.load_index()

    def test_plans(self, retriever: kayak.LateTextRetriever) -> None:
        plan = kayak.document_proxy_search_plan(2, 3)
        result = retriever.search_text_with_plan("kayak together.", plan)
        assert result.hits == retriever.search_text("kayak together.", k=2)
        assert result.load_profile is None  # the slice was there already
        verified = retriever.search_text_with_plan("kayak together.", kayak.exact_full_scan_clause_text_search_plan(2))
        assert verified.stage3_verifier.document_text_count == 2
        native = retriever.search_text_with_plan(
            "rows", kayak.store_native_search_plan(1, 2), where={"topic": "storage"}, doc_ids=["doc-c", "doc-a"]
        )
        assert [hit.doc_id for hit in native.hits] == ["doc-c"]
        with pytest.raises(TypeError, match="expected a SearchPlan, got int"):
            retriever.search_text_with_plan("rows", 3)  # type: ignore[arg-type]

    def test_unchanged_slices_are_read_once(self, store: CountingStore, retriever: kayak.LateTextRetriever) -> None:
        for _ in range(3):
            retriever.search_text("rows", k=1)
            retriever.search_text("rows", k=1, where={"topic": "storage"})
        assert store.loads == 2
        retriever.upsert_texts(["doc-d"], ["rows rows"])
        assert "doc-d" in {hit.doc_id for hit in retriever.search_text("rows", k=9)}
        assert store.loads == 3
        store.upsert(kayak.documents(["doc-e"], [np.eye(16)[:1]]))  # not through the retriever
        assert len(retriever.search_text("rows", k=9)) == 5
        assert store.loads == 4

    def test_only_the_latest_slices_are_kept(self, store: CountingStore, retriever: kayak.LateTextRetriever) -> None:
        for year in range(20):
            retriever.search_text("rows", k=1, where={"year": {"$ne": year}})
        loads = store.loads
        retriever.search_text("rows", k=1, where={"year": {"$ne": 19}})
        assert store.loads == loads
        retriever.search_text("rows", k=1, where={"year": {"$ne": 0}})
        assert store.loads == loads + 1

    def test_a_store_without_generations_is_read_each_time(self) -> None:
        class Forgetful(CountingStore):
            def generation(self) -> None:  # type: ignore[override]
                return None

        store = Forgetful()
        retriever = kayak.open_text_retriever(encoder=Words(), store=store)
        retriever.upsert_texts(["a"], ["hello"])
        retriever.search_text("hello", k=1)
        retriever.search_text("hello", k=1)
        assert store.loads == 2

    def test_refusals(self, retriever: kayak.LateTextRetriever) -> None:
        with pytest.raises(TypeError, match="the query text must be a string, got int"):
            retriever.search_text(3, k=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="at least one query text, got none"):
            retriever.search_text_batch([], k=1)
        with pytest.raises(ValueError, match="k must be ≥ 0, got -2"):
            retriever.search_text("rows", k=-2)
        with pytest.raises(TypeError, match="expected a LateQuery, got str"):
            retriever.search_query("rows", k=1)  # type: ignore[arg-type]
        with pytest.raises(kayak.FilterError):
            retriever.search_text("rows", k=1, where={"a": {"$nope": 1}})

    def test_side_effect_free_encoding(self, retriever: kayak.LateTextRetriever) -> None:
        generation = retriever.store.generation()
        assert retriever.encode_documents(["x"], ["a b"]).texts == ("a b",)
        assert np.asarray(retriever.encode_document_vectors("a b")).shape == (2, 16)
        assert retriever.store.generation() == generation
        assert retriever.capabilities().kind == "memory"
        assert repr(retriever).startswith("LateTextRetriever(encoder=CallableLateTextEncoder, store='memory'")

    def test_default_texts_and_layout(self, store: CountingStore) -> None:
        retriever = kayak.open_text_retriever(encoder=Words(), store=store, default_include_text=True)
        retriever.upsert_texts(["a"], ["hello"])
        assert retriever.load_index().doc_texts == ("hello",)
        assert retriever.load_index(include_text=False).doc_texts is None
        with pytest.raises(ValueError, match="but this index has dimension 16"):
            retriever.load_index(layout="hybrid_flat_dim128")


class TestFingerprint:
    def test_a_different_encoder_is_refused(self, store: CountingStore) -> None:
        first = kayak.open_text_retriever(encoder=BatchWords("one"), store=store)
        other = kayak.open_text_retriever(encoder=BatchWords("two"), store=store)  # nothing is stored yet
        first.upsert_texts(["a"], ["hello"])
        with pytest.raises(kayak.EncoderMismatchError, match="encoded by 'one', but this encoder is 'two'"):
            other.search_text("hello", k=1)
        with pytest.raises(kayak.EncoderMismatchError):
            other.upsert_texts(["b"], ["hello"])
        with pytest.raises(kayak.EncoderMismatchError):
            kayak.open_text_retriever(encoder=BatchWords("two"), store=store)
        assert first.stats().encoder_fingerprint == "one"

    def test_encoders_without_one_are_not_checked(self, store: CountingStore) -> None:
        kayak.open_text_retriever(encoder=BatchWords("one"), store=store).upsert_texts(["a"], ["hello"])
        assert kayak.open_text_retriever(encoder=Words(), store=store).search_text("hello", k=1)


class TestSession:
    def test_searches_like_its_retriever(self, retriever: kayak.LateTextRetriever) -> None:
        session = retriever.session(where={"topic": "storage"}, include_text=True)
        expected = retriever.search_text("rows", k=2, where={"topic": "storage"})
        query = retriever.encode_query("rows")
        plan = kayak.exact_full_scan_clause_text_search_plan(2)
        assert session.search_text("rows", k=2) == expected
        assert session.search_query(query, k=2) == expected
        assert session.search_text_batch(["rows", "rows"], k=2) == (expected, expected)
        assert session.search_query_batch([query], k=2) == (expected,)
        assert session.search_text_with_plan("rows", plan).hits == session.search_query_with_plan(query, plan).hits

    def test_a_session_keeps_its_slice(self, retriever: kayak.LateTextRetriever) -> None:
        session = retriever.session()
        retriever.delete(list(TEXTS))
        assert len(session.search_text("rows", k=9)) == 3

    def test_many_threads(self, store: CountingStore, retriever: kayak.LateTextRetriever) -> None:
        session = retriever.session()
        expected = {text: session.search_text(text, k=3) for text in ("install kayak", "rows", "on disk.")}
        barrier = threading.Barrier(4)

        def run(text: str) -> bool:
            barrier.wait()
            return all(
                session.search_text(text, k=3) == retriever.search_text(text, k=3) == expected[text] for _ in range(50)
            )

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(run, [*expected, "rows"]))
        assert store.loads == 1


class TestCopy:
    def test_copies_everything_and_resumes(self, retriever: kayak.LateTextRetriever, tmp_path: Path) -> None:
        source = retriever.store
        source.set_encoder_fingerprint("words")
        with kayak.open_store("kayak", path=tmp_path / "copy") as target:
            first = kayak.copy_store(source, target, batch_size=2, show_progress=False)
            assert (first.copied, first.skipped) == (3, 0)
            assert target.encoder_fingerprint() == "words"
            copied = next(iter(target.documents()))
            original = next(iter(source.documents()))
            assert (copied.doc_ids, copied.texts, copied.metadata) == (
                original.doc_ids,
                original.texts,
                original.metadata,
            )
            assert all(
                np.array_equal(a, b) for a, b in zip(copied.token_matrices, original.token_matrices, strict=True)
            )
            retriever.upsert_texts(["doc-b"], ["changed text"])
            again = kayak.copy_store(source, target, batch_size=2)
            assert (again.copied, again.skipped) == (1, 2)
            assert target.load_index(doc_ids=["doc-b"], include_text=True).doc_texts == ("changed text",)

    def test_another_encoder_is_refused(self) -> None:
        source, target = kayak.MemoryLateStore(), kayak.MemoryLateStore()
        source.set_encoder_fingerprint("one")
        target.set_encoder_fingerprint("two")
        with pytest.raises(kayak.EncoderMismatchError, match="encoded by 'one', the target's by 'two'"):
            kayak.copy_store(source, target)
