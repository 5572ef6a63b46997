"""Vectors: those of the peers, in the order given, whatever the batch; tokens, lengths, pooling, names."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkpoints
import kayak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EXPECTED = Path(__file__).parent / "expected"
TOLERANCE = 1e-4
LONG = pytest.mark.filterwarnings("ignore:.* tokens, and the model reads the first")
Checkpoint = Callable[[str], Path]


def open_colbert(checkpoint: Path, **arguments: Any) -> Any:
    return kayak.open_encoder("colbert", model_name=str(checkpoint), device="cpu", **arguments)


def peer_vectors(peer: str) -> dict[str, npt.NDArray[np.float32]]:
    with np.load(EXPECTED / f"{peer}.npz", allow_pickle=False) as kept:
        return dict(kept)


def encoded(encoder: Any) -> dict[str, npt.NDArray[np.float32]]:
    queries = [query.as_vector_matrix() for query in encoder.encode_queries(checkpoints.QUERIES)]
    found = {f"query_{i}": vectors for i, vectors in enumerate(queries)}
    found |= {f"document_{i}": vectors for i, vectors in enumerate(encoder.encode_document_batch(checkpoints.TEXTS))}
    return found


def furthest(mine: dict[str, npt.NDArray[np.float32]], theirs: dict[str, npt.NDArray[np.float32]]) -> float:
    assert mine.keys() == theirs.keys()
    assert {name: vectors.shape for name, vectors in mine.items()} == {name: v.shape for name, v in theirs.items()}
    return max(float(np.abs(mine[name] - theirs[name]).max()) for name in theirs)


@LONG
@pytest.mark.parametrize(("peer", "written"), [("colbert-ai", "stanford"), ("pylate", "pylate")])
def test_vectors_are_those_of_the_peer(checkpoint: Checkpoint, peer: str, written: str) -> None:
    theirs = peer_vectors(peer)
    assert furthest(encoded(open_colbert(checkpoint(written))), theirs) <= TOLERANCE
    norms = [np.linalg.norm(vectors, axis=1) for vectors in theirs.values()]
    assert all(np.allclose(norm, 1.0, atol=1e-5) for norm in norms)


@LONG
def test_saved_natively_the_vectors_stay(checkpoint: Checkpoint) -> None:
    assert furthest(encoded(open_colbert(checkpoint("native"))), peer_vectors("colbert-ai")) <= TOLERANCE


@LONG
def test_markers_masks_and_expansion_matter(checkpoint: Checkpoint) -> None:
    """The comparison with the peers would notice what a careless loader loses."""
    theirs = peer_vectors("colbert-ai")
    encoder = open_colbert(checkpoint("stanford"))
    model = encoder._model()._model
    model.prompts["document"] = "[unused0] "
    assert furthest(encoded(encoder), theirs) > 100 * TOLERANCE
    without_mask = [module for module in model if type(module).__name__ != "MultiVectorMask"]
    unmasked = kayak.open_encoder("colbert", model=type(model)(modules=without_mask, prompts=model.prompts))
    document = checkpoints.TEXTS[0]
    assert len(unmasked.encode_document_vectors(document)) == len(theirs["document_0"]) + 1  # the full stop


@pytest.fixture(scope="module")
def by_twos(checkpoint: Checkpoint) -> Any:
    return open_colbert(checkpoint("stanford"), batch_size=2)


@LONG
@settings(max_examples=12)
@given(texts=st.lists(st.sampled_from([*checkpoints.WORDS, *checkpoints.TEXTS[:3]]), min_size=1, max_size=9))
def test_any_batch_gives_what_one_text_gives(by_twos: Any, texts: list[str]) -> None:
    encoder = by_twos
    ids = [f"doc-{i}" for i in range(len(texts))]
    found = encoder.encode_documents(ids, texts)
    assert found.doc_ids == tuple(ids)
    assert found.texts == tuple(texts)
    for vectors, text in zip(found.token_matrices, texts, strict=True):
        assert vectors.dtype == np.float32
        assert np.allclose(vectors, encoder.encode_document_vectors(text), atol=1e-5)
    for query, text in zip(encoder.encode_queries(texts), texts, strict=True):
        assert query.text == text
        assert np.allclose(query.as_vector_matrix(), encoder.encode_query(text).as_vector_matrix(), atol=1e-5)


def test_documents_stream_in_bounded_memory(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = open_colbert(checkpoint("stanford"), batch_size=2)
    read = []

    def source() -> Iterator[tuple[str, str]]:
        for i in range(7):
            read.append(i)
            yield f"doc-{i}", checkpoints.WORDS[i]

    batches = encoder.encode_document_batches(source(), documents_at_a_time=3, total=7, show_progress=True)
    assert read == []
    first = next(batches)
    assert first.doc_ids == ("doc-0", "doc-1", "doc-2")
    assert len(read) == 3
    rest = list(batches)
    assert [batch.document_count for batch in rest] == [3, 1]
    assert rest[-1].texts == (checkpoints.WORDS[6],)
    assert "encoding" in capsys.readouterr().err


@pytest.mark.parametrize(("show", "shown"), [(True, True), (False, False), (None, False)])
def test_progress(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], show: bool | None, shown: bool) -> None:
    encoder = open_colbert(checkpoint("stanford"), batch_size=1)
    encoder.encode_documents(["a", "b"], ["wing", "lift"], show_progress=show)
    assert ("encoding" in capsys.readouterr().err) is shown


def test_half_precision_comes_back_as_float32(checkpoint: Checkpoint) -> None:
    whole, half = (open_colbert(checkpoint("stanford"), dtype=dtype) for dtype in (None, "bfloat16"))
    vectors = half.encode_document_vectors("thin wings")
    assert vectors.dtype == np.float32
    assert 0.0 < np.abs(vectors - whole.encode_document_vectors("thin wings")).max() < 0.1
    assert whole.fingerprint != half.fingerprint


def test_tokens_are_words(checkpoint: Checkpoint) -> None:
    encoder = open_colbert(checkpoint("stanford"))
    assert encoder.tokens("Thin wings, flutter!") == ["[CLS]", "[unused1]", "thin", "wings", "flutter", "[SEP]"]
    expansion = ["[MASK]"] * (checkpoints.QUERY_LENGTH - 5)
    assert encoder.query_tokens("thin wings") == ["[CLS]", "[unused0]", "thin", "wings", "[SEP]", *expansion]
    assert open_colbert(checkpoint("pylate")).tokens("wing") == ["[CLS]", "[D]", "wing", "[SEP]"]


def test_explain_shows_words(checkpoint: Checkpoint) -> None:
    encoder = open_colbert(checkpoint("stanford"))
    query, document = "wings", "thin wings"
    explained = kayak.explain(
        encoder.encode_query(query),
        encoder.encode_document_vectors(document),
        query_tokens=encoder.query_tokens(query),
        document_tokens=encoder.tokens(document),
    )
    assert explained.alignments[2].query_token == "wings"
    assert {each.document_token for each in explained.alignments} <= {"[CLS]", "[unused1]", "thin", "wings", "[SEP]"}


class TestTruncation:
    def test_is_counted_and_warned_about_once(self, checkpoint: Checkpoint) -> None:
        encoder = open_colbert(checkpoint("stanford"), document_length=10)
        long, short = "wing " * 30, "wing"
        with pytest.warns(
            UserWarning, match=r"document 'b' has 33 tokens, and the model reads the first 10; split"
        ) as w:
            encoder.encode_documents(["a", "b", "c"], [short, long, long])
        assert len(w) == 1
        assert w[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(encoder.encode_document_vectors(long)) == 10
        assert (encoder.truncated_documents, encoder.truncated_queries) == (3, 0)
        with pytest.warns(UserWarning, match=r"query 'wing wing.* has 33 tokens, and the model reads the first 16; sh"):
            encoder.encode_query(long)
        assert (encoder.truncated_documents, encoder.truncated_queries) == (3, 1)

    @pytest.mark.parametrize("words", [7, 8])
    def test_is_exact(self, checkpoint: Checkpoint, words: int) -> None:
        encoder = open_colbert(checkpoint("stanford"), document_length=10)  # [CLS], marker and [SEP] take three
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoder.encode_document_vectors("wing " * words)
        assert encoder.truncated_documents == (words > 7)


class TestLengths:
    @LONG
    def test_are_obeyed(self, checkpoint: Checkpoint) -> None:
        encoder = open_colbert(checkpoint("stanford"), query_length=8, document_length=12)
        assert encoder.encode_query("wing").vector_count == 8
        assert encoder.encode_query("wing " * 40).vector_count == 8
        assert len(encoder.encode_document_vectors("wing " * 40)) == 12

    @LONG
    def test_without_expansion(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        folder = self._with_expansion(checkpoint, tmp_path, None)
        encoder = open_colbert(folder, query_length=8)
        assert [encoder.encode_query("wing " * n).vector_count for n in (1, 40)] == [4, 8]

    @LONG
    def test_with_a_least_expansion(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        folder = self._with_expansion(checkpoint, tmp_path, {"strategy": "min", "length": 8})
        encoder = open_colbert(folder, query_length=12)
        assert [encoder.encode_query("wing " * n).vector_count for n in (1, 7, 40)] == [8, 10, 12]
        with pytest.raises(kayak.InvalidInputError, match="query_length=6 is below the 8 tokens"):
            open_colbert(folder, query_length=6).encode_query("wing")

    @pytest.mark.parametrize("length", [3, 65])
    def test_that_no_text_fits_or_no_model_reads(self, checkpoint: Checkpoint, length: int) -> None:
        encoder = open_colbert(checkpoint("stanford"), document_length=length)
        with pytest.raises(
            kayak.InvalidInputError, match="its markers take 3 tokens, and it reads 64; choose 4 or more"
        ):
            encoder.encode_document_vectors("wing")

    def _with_expansion(self, checkpoint: Checkpoint, folder: Path, expansion: Any) -> Path:
        from sentence_transformers import MultiVectorEncoder

        model = MultiVectorEncoder(str(checkpoint("native")), local_files_only=True, device="cpu")
        model[0].query_expansion = expansion
        model.save_pretrained(str(folder / "changed"), create_model_card=False)
        return folder / "changed"


class TestPooling:
    TEXT = "heat transfer in the boundary layer of a blunt body"

    def test_halves_documents_and_leaves_queries(self, checkpoint: Checkpoint) -> None:
        whole, pooled = open_colbert(checkpoint("stanford")), open_colbert(checkpoint("stanford"), token_pooling=2)
        assert (
            len(pooled.encode_document_vectors(self.TEXT))
            == 1 + (len(whole.encode_document_vectors(self.TEXT)) - 1) // 2
        )
        assert pooled.encode_query("wing").vector_count == whole.encode_query("wing").vector_count

    @pytest.mark.parametrize("built_in", [False, True])
    def test_tokens_say_what_was_merged(self, checkpoint: Checkpoint, built_in: bool) -> None:
        from sentence_transformers import MultiVectorEncoder
        from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

        whole = open_colbert(checkpoint("stanford"))
        if built_in:
            model = MultiVectorEncoder(str(checkpoint("stanford")), local_files_only=True, device="cpu")
            model.append(HierarchicalTokenPooling(2))
            pooled: Any = kayak.open_encoder("colbert", model=model)
        else:
            pooled = open_colbert(checkpoint("stanford"), token_pooling=2)
        names = pooled.tokens(self.TEXT)
        vectors = pooled.encode_document_vectors(self.TEXT)
        assert len(names) == len(vectors)
        assert Counter(name for merged in names for name in merged.split("+")) == Counter(whole.tokens(self.TEXT))
        own = dict(zip(whole.tokens(self.TEXT), whole.encode_document_vectors(self.TEXT), strict=True))
        for merged, vector in zip(names, vectors, strict=True):
            mean = np.mean([own[name] for name in merged.split("+")], axis=0)
            assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
        assert pooled.query_tokens("wing") == whole.query_tokens("wing")

    def test_by_a_function_has_no_name(self, checkpoint: Checkpoint) -> None:
        from sentence_transformers.multi_vector_encoder.modules import LambdaTokenPooling

        halves = open_colbert(checkpoint("stanford"), token_pooling=LambdaTokenPooling(lambda rows: rows[::2]))
        assert halves.fingerprint is None
        assert halves.tokens("thin wings flutter") == ["[CLS]", "thin", "flutter"]
        least = open_colbert(checkpoint("stanford"), token_pooling=LambdaTokenPooling(lambda rows: rows.sort(1).values))
        with pytest.raises(kayak.UnsupportedOperationError, match="LambdaTokenPooling does not average tokens"):
            least.tokens("thin wings flutter")

    def test_of_another_setting_has_another_name(self, checkpoint: Checkpoint) -> None:
        from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

        poolings = [None, 2, 3, HierarchicalTokenPooling(2, num_protected_tokens=0)]
        names = [open_colbert(checkpoint("stanford"), token_pooling=pooling).fingerprint for pooling in poolings]
        assert len(set(names)) == len(poolings)

    def test_to_nothing_is_an_error(self, checkpoint: Checkpoint) -> None:
        from sentence_transformers.multi_vector_encoder.modules import LambdaTokenPooling

        none = open_colbert(checkpoint("stanford"), token_pooling=LambdaTokenPooling(lambda rows: rows[:0]))
        with pytest.raises(kayak.EncodingError, match=r"the model keeps no token of document 'a'"):
            none.encode_documents(["a"], ["wing"])


class TestFingerprint:
    def test_names_what_the_vectors_depend_on(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        name = open_colbert(checkpoint("stanford")).fingerprint
        assert name.startswith("colbert(sha256=")
        assert name.endswith("query_length=16, document_length=48, pooling=None, dim=16)")
        moved = Path(shutil.copytree(checkpoint("stanford"), tmp_path / "moved"))
        assert open_colbert(moved, batch_size=1).fingerprint == name

    def test_changes_with_them(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        backbone = checkpoints.tiny_backbone(tmp_path / "tokenizer")
        other = checkpoints.tiny_backbone(tmp_path / "other", seed=7)
        weight = checkpoints.projection(backbone)
        folders = [
            checkpoint("stanford"),
            checkpoint("pylate"),
            checkpoints.write_stanford(tmp_path / "weights", other, weight),
            checkpoints.write_stanford(tmp_path / "projection", backbone, checkpoints.projection(backbone, seed=8)),
            checkpoints.write_stanford(tmp_path / "mask", backbone, weight, mask_punctuation=False),
            checkpoints.write_stanford(tmp_path / "attend", backbone, weight, attend_to_mask_tokens=True),
            checkpoints.write_stanford(tmp_path / "marker", backbone, weight, doc_token_id="[unused0]"),
        ]
        names = [open_colbert(folder).fingerprint for folder in folders]
        names += [
            open_colbert(folders[0], document_length=20).fingerprint,
            open_colbert(folders[0], query_length=20).fingerprint,
        ]
        assert len(set(names)) == len(names)

    def test_keeps_a_corpus_from_queries_of_another_model(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        store = {"path": str(tmp_path / "index")}
        with kayak.open_text_retriever(
            encoder=open_colbert(checkpoint("stanford")), store="kayak", store_kwargs=store
        ) as retriever:
            retriever.upsert_texts(["a", "b"], ["thin wings flutter", "heat transfer"])
            assert retriever.stats().encoder_fingerprint == retriever.encoder.fingerprint  # type: ignore[attr-defined]
        with pytest.raises(kayak.EncoderMismatchError, match=r"sha256=.* but this encoder is .*sha256="):
            kayak.open_text_retriever(encoder=open_colbert(checkpoint("pylate")), store="kayak", store_kwargs=store)
