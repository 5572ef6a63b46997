"""What is checked before any model package is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kayak
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak_colbert import ColbertEncoder
from kayak_colbert.texts import PASS_TOKENS, length_sorted_batches

HEAVY = {"torch", "sentence_transformers", "transformers", "huggingface_hub", "tokenizers", "scipy"}


def test_listing_and_opening_import_no_model_package() -> None:
    script = (
        "import json, sys, kayak\n"
        "assert 'colbert' in kayak.available_encoder_kinds()\n"
        "encoder = kayak.open_encoder('colbert', token_pooling=2)\n"
        "assert 'not loaded yet' in repr(encoder), encoder\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(json.loads(done.stdout))


def test_help_shows_the_arguments() -> None:
    shown = kayak.help("colbert")
    for name in ("model_name", "document_length", "token_pooling", "local_files_only"):
        assert name in shown


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model_name": 7}, TypeError, "model_name must be a string, got int"),
        ({"model_name": "  "}, ValueError, "model_name must not be empty"),
        ({"device": 0}, TypeError, "device must be a string, got int"),
        ({"dtype": "int8"}, ValueError, "unknown dtype 'int8'; expected one of float32, float16, bfloat16"),
        ({"query_length": 0}, ValueError, "query_length must be at least 1, got 0"),
        ({"document_length": 3.5}, TypeError, "document_length must be an integer, got 3.5"),
        ({"document_length": True}, TypeError, "document_length must be an integer, got True"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": "32"}, TypeError, "batch_size must be an integer, got '32'"),
        ({"local_files_only": "yes"}, TypeError, "local_files_only must be True or False, got 'yes'"),
        ({"trust_remote_code": 1}, TypeError, "trust_remote_code must be True or False, got 1"),
        ({"token_pooling": 0.5}, ValueError, "token_pooling=0.5 keeps one vector in so many, so it must be at least 1"),
        ({"token_pooling": float("nan")}, ValueError, "token_pooling=nan keeps one vector in so many"),
        ({"token_pooling": "2"}, TypeError, "token_pooling must be a factor such as 2, .* got '2'"),
        ({"token_pooling": True}, TypeError, "token_pooling must be a factor such as 2, .* got True"),
        ({"model": object()}, TypeError, "model= takes a MultiVectorEncoder .* or a ColBERT of PyLate, got object;"),
        ({"model": object(), "device": "cpu", "query_length": 8}, ValueError, "device=, query_length= say how a model"),
        ({"model_nam": "x"}, TypeError, "model_nam"),
    ],
)
def test_malformed_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        kayak.open_encoder("colbert", **arguments)
    assert isinstance(caught.value, kayak.KayakError)


def test_a_model_with_methods_of_its_own_is_pointed_to_callable() -> None:
    class Own:
        def encode_query_tokens(self, text: str) -> list[list[float]]:
            return [[1.0]]

    with pytest.raises(kayak.InvalidTypeError, match=r"open it with kayak\.open_encoder\('callable', model=…\)"):
        kayak.open_encoder("colbert", model=Own())


def test_a_model_or_options_but_one_of_them() -> None:
    with pytest.raises(kayak.InvalidInputError, match="either options or model="):
        ColbertEncoder(None)


@pytest.mark.parametrize("name", ["./no-such", "/no/such", "~/no-such-folder-here", "a/b/c", "no\\such"])
def test_a_path_that_is_not_there(name: str) -> None:
    encoder = kayak.open_encoder("colbert", model_name=name)
    with pytest.raises(
        kayak.EncoderUnavailableError, match="does not exist; give the folder that holds the checkpoint"
    ):
        encoder.encode_query("wing")


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(kayak.EncoderUnavailableError, match="is a file; give the folder"):
        kayak.open_encoder("colbert", model_name=str(file)).encode_query("wing")


def test_a_revision_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(kayak.InvalidInputError, match="revision='v1' names a version on the hub"):
        kayak.open_encoder("colbert", model_name=str(tmp_path), revision="v1")


@pytest.mark.parametrize("text", ["", "  ", "\n\t\u3000"])
def test_blank_texts_are_named(text: str) -> None:
    encoder: Any = kayak.open_encoder("colbert", model_name="never/loaded")
    with pytest.raises(kayak.EncodingError, match="the query is empty"):
        encoder.encode_query(text)
    with pytest.raises(kayak.EncodingError, match=r"the document is empty .* leave it out, or give it a text"):
        encoder.encode_document_vectors(text)
    with pytest.raises(
        kayak.EncodingError, match="document 'b' cannot be encoded: document texts\\[1\\] is empty"
    ) as caught:
        encoder.encode_documents(["a", "b"], ["wing", text])
    assert (caught.value.position, caught.value.doc_id) == (1, "b")
    with pytest.raises(kayak.EncodingError, match="document 'b' cannot be encoded"):
        next(encoder.encode_document_batches([("a", "wing"), ("b", text)]))
    with pytest.raises(kayak.EncodingError, match="the document is empty"):
        encoder.tokens(text)


def test_the_retriever_names_a_blank_document_without_encoding_the_others() -> None:
    encoder = kayak.open_encoder("colbert", model_name="never/loaded")
    with (
        pytest.raises(kayak.EncodingError, match="document 'b' cannot be encoded: the document is empty") as caught,
        kayak.open_text_retriever(encoder=_Unnamed(encoder), store="memory") as retriever,
    ):
        retriever.upsert_texts(["a", "b", "c"], ["wing", " ", "lift"])
    assert caught.value.doc_id == "b"


class _Unnamed:
    """An encoder without a fingerprint, so that a retriever opens before there is a model."""

    def __init__(self, encoder: Any) -> None:
        for name in ("encode_query", "encode_queries", "encode_document_vectors", "encode_document_batch"):
            setattr(self, name, getattr(encoder, name))
        self.encode_documents = encoder.encode_documents


def test_malformed_texts_and_ids() -> None:
    encoder: Any = kayak.open_encoder("colbert", model_name="never/loaded")
    for texts, message in (
        ("wing", "got the string 'wing'"),
        (7, "got int"),
        (["a", None], r"texts\[1\] must be a str"),
    ):
        with pytest.raises(kayak.InvalidTypeError, match=message):
            encoder.encode_document_batch(texts)
    with pytest.raises(kayak.EncodingError, match="character 5 is half of a surrogate pair"):
        encoder.encode_query("wing \ud800")
    with pytest.raises(kayak.InvalidInputError):
        encoder.encode_documents(["a", "a"], ["x", "y"])
    with pytest.raises(kayak.InvalidInputError):
        encoder.encode_documents(["a"], ["x", "y"])
    with pytest.raises(kayak.EncodingError, match=r"document texts\[1\] is empty"):
        encoder.encode_documents(["a"], ["x", " "])
    with pytest.raises(kayak.InvalidTypeError, match=r"documents must be \(id, text\) pairs, got 'wing'"):
        next(encoder.encode_document_batches(["wing"]))
    with pytest.raises(kayak.InvalidInputError, match="documents_at_a_time must be at least 1"):
        encoder.encode_document_batches([], documents_at_a_time=0)
    assert encoder.encode_queries([]) == []
    assert list(encoder.encode_document_batches([])) == []


@given(
    lengths=st.lists(st.integers(1, 300), max_size=60),
    size=st.integers(1, 40),
    most=st.none() | st.integers(1, 4000),
)
def test_batches_hold_every_text_once_within_both_limits(lengths: list[int], size: int, most: int | None) -> None:
    batches = list(length_sorted_batches(lengths, size, most))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    flat = [lengths[place] for batch in batches for place in batch]
    assert flat == sorted(flat, reverse=True)
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert most is None or len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= most


@given(lengths=st.lists(st.integers(1, 300), max_size=9), size=st.integers(1, 9), most=st.integers(1, 1500))
def test_batches_are_those_of_least_work(lengths: list[int], size: int, most: int) -> None:
    descending = sorted(lengths, reverse=True)

    def least(start: int) -> int:
        """Try every way to divide what is left."""
        allowed = [
            end
            for end in range(start + 1, min(start + size, len(descending)) + 1)
            if end == start + 1 or (end - start) * descending[start] <= most
        ]
        return min((PASS_TOKENS + (end - start) * descending[start] + least(end) for end in allowed), default=0)

    batches = list(length_sorted_batches(lengths, size, most))
    assert sum(PASS_TOKENS + len(batch) * lengths[batch[0]] for batch in batches) == least(0)


def test_batches_are_full_where_passes_are_what_costs() -> None:
    assert [len(batch) for batch in length_sorted_batches([9, 300, 1, 40, 40], 2)] == [2, 2, 1]
