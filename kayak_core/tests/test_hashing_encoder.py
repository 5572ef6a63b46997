"""The `hashing` encoder: reproducible, unit-norm document vectors, weighted queries, hostile texts, teaching errors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak.builtin.english_words import COMMON_WORDS, FUNCTION_WORDS
from kayak.builtin.words import query_weight, split_words

ENCODER = kayak.HashingEncoder()
SAMPLE = "The wings of naïve aircraft: 3 wings, Straße, 東京."
SAMPLE_SHA256 = "18bc04cb3f567daa970169f6b66587971466bee9b39ca573c8c0def0f81b2fa2"

TEXTS = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="aA1_ -'éßİ\u0301\u0e33ﬁ東ーक्\u200d\ufe0f\U0001f600\ud800\0", max_size=60),
)


def query_vectors(text: str, encoder: kayak.HashingEncoder = ENCODER) -> np.ndarray:
    return encoder.encode_query(text).as_vector_matrix()


def similarity(first: str, second: str) -> float:
    """Cosine of two single words."""
    one, two = query_vectors(first)[0], query_vectors(second)[0]
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


# --- the vectors are pinned -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "document", "dots"),
    [
        ("wing", "wings wings flutter", [[0.390753, 0.001079]]),
        ("aeroelastic", "aeroelasticity of an aircraft", [[0.54345, -0.11536, 0.000173, 0.002914]]),
        (
            "the method",
            "the methods of Straße 東京",
            [
                [0.07494, -0.006616, -0.006133, 0.011522, -0.01394, -0.008629],
                [-0.022375, 0.16651, -0.036671, -0.012894, 0.015442, 0.021008],
            ],
        ),
    ],
)
def test_dot_products_of_this_format_never_change(query: str, document: str, dots: list[list[float]]) -> None:
    found = query_vectors(query).astype(float) @ ENCODER.encode_document_vectors(document).astype(float).T
    np.testing.assert_allclose(found, dots, atol=1e-6)


def test_the_bytes_of_this_format_never_change() -> None:
    assert hashlib.sha256(ENCODER.encode_document_vectors(SAMPLE).tobytes()).hexdigest() == SAMPLE_SHA256


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_gives_the_same_bytes(hash_seed: str) -> None:
    program = (
        "import hashlib, sys, kayak; encoder = kayak.HashingEncoder(); "
        "print(hashlib.sha256(encoder.encode_document_vectors(sys.argv[1]).tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program, SAMPLE], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == SAMPLE_SHA256


def test_equal_fingerprints_and_only_those_mean_equal_vectors() -> None:
    encoders = [
        kayak.HashingEncoder(),
        kayak.HashingEncoder(cache_size=0),
        kayak.HashingEncoder(seed=1),
        kayak.HashingEncoder(ngram_range=(2, 4)),
        kayak.HashingEncoder(dim=64),
        kayak.HashingEncoder(dim=1025),
    ]
    assert encoders[0].fingerprint == "hashing(dim=128, ngram=3-5, seed=0, v1)"
    vectors = [encoder.encode_document_vectors(SAMPLE).tobytes() for encoder in encoders]
    for one, first in zip(encoders, vectors, strict=True):
        for other, second in zip(encoders, vectors, strict=True):
            assert (one.fingerprint == other.fingerprint) == (first == second)


def test_the_kind_is_registered_with_its_arguments() -> None:
    encoder = kayak.open_encoder("hashing", dim=32, ngram_range=(2, 3), seed=7, cache_size=10)
    assert isinstance(encoder, kayak.LateTextEncoder)
    assert isinstance(encoder, kayak.BatchTextEncoder)
    assert repr(encoder) == "HashingEncoder(dim=32, ngram_range=(2, 3), seed=7, cache_size=10)"
    assert encoder.encode_query("wing").shape == (1, 32)


# --- documents --------------------------------------------------------------------------------------------------


@given(TEXTS)
def test_document_rows_are_float32_unit_vectors_aligned_with_the_distinct_words(text: str) -> None:
    words = split_words(text)
    assert ENCODER.tokens(text) == list(dict.fromkeys(words))
    if not words:
        with pytest.raises(kayak.EncodingError, match="holds no word"):
            ENCODER.encode_document_vectors(text)
        with pytest.raises(kayak.EncodingError, match="holds no word"):
            ENCODER.encode_query(text)
        return
    vectors = ENCODER.encode_document_vectors(text)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(set(words)), 128)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1.0, atol=1e-6)
    for word, vector in zip(ENCODER.tokens(text), vectors, strict=True):
        alone = query_vectors(word)[-1].astype(float)
        assert alone @ vector == pytest.approx(np.linalg.norm(alone) * np.sqrt(1 - float(vector[-1]) ** 2), abs=1e-5)


@given(st.lists(TEXTS.filter(split_words), min_size=1, max_size=6))
def test_a_batch_gives_the_bits_of_single_calls(texts: list[str]) -> None:
    batch = ENCODER.encode_document_batch(texts)
    assert [matrix.tobytes() for matrix in batch] == [
        kayak.HashingEncoder(cache_size=1).encode_document_vectors(text).tobytes() for text in texts
    ]
    queries = ENCODER.encode_queries(texts)
    assert [query.as_vector_matrix().tobytes() for query in queries] == [
        query_vectors(text).tobytes() for text in texts
    ]
    assert [query.text for query in queries] == texts


@given(st.lists(st.sampled_from(["wing", "flutter", "shock", "heat"]), min_size=1, max_size=30))
def test_a_word_scores_its_bm25_term_frequency_factor(words: list[str]) -> None:
    text = " ".join(words)
    scores = query_vectors(text).astype(float) @ ENCODER.encode_document_vectors(text).astype(float).T
    counts = Counter(words)
    for word, best in zip(words, scores.max(axis=1), strict=True):
        expected = counts[word] / (counts[word] + 0.8 * (1 - 0.6 + 0.6 * len(words) / 200))
        assert best == pytest.approx(expected, abs=1e-5)


def test_documents_carry_ids_texts_and_the_vectors_of_the_batch() -> None:
    texts = ["a wing", "heat and heat transfer"]
    documents = ENCODER.encode_documents(["x", "y"], texts)
    assert documents.doc_ids == ("x", "y")
    assert documents.texts == tuple(texts)
    for matrix, text in zip(documents.token_matrices, texts, strict=True):
        np.testing.assert_array_equal(matrix, ENCODER.encode_document_vectors(text))


def test_an_empty_batch_is_an_empty_list() -> None:
    assert ENCODER.encode_document_batch([]) == []
    assert ENCODER.encode_queries([]) == []


# --- queries ----------------------------------------------------------------------------------------------------


def test_query_rows_follow_the_words_and_weigh_by_their_norms() -> None:
    text = "What methods predict the flutter of the wings?"
    assert ENCODER.query_tokens(text) == ["what", "methods", "predict", "the", "flutter", "of", "the", "wings"]
    query = ENCODER.encode_query(text)
    assert query.text == text
    vectors = query.as_vector_matrix()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0.1, 0.4, 0.4, 0.1, 1, 0.1, 0.1, 1], atol=1e-6)
    assert not vectors[:, -1].any()


@pytest.mark.parametrize(
    ("word", "weight"),
    [
        ("the", 0.1),
        ("which", 0.1),
        ("method", 0.4),
        ("studies", 0.4),
        ("studied", 0.4),
        ("used", 0.4),
        ("stopped", 0.4),
        ("bigger", 0.4),
        ("probably", 0.4),
        ("boxes", 0.4),
        ("flutter", 1.0),
        ("s100", 1.0),
        ("wings", 1.0),
        ("ing", 1.0),
        ("東", 1.0),
    ],
)
def test_frequent_english_words_weigh_less(word: str, weight: float) -> None:
    assert query_weight(word) == weight


def test_the_word_lists_are_words_as_the_splitter_gives_them() -> None:
    for word in FUNCTION_WORDS | COMMON_WORDS:
        assert split_words(word) == [word]


def test_relatives_resemble_each_other_and_strangers_do_not() -> None:
    assert similarity("wing", "wing") == pytest.approx(1.0, abs=1e-6)
    for word, relative, stranger in [
        ("wing", "wings", "heat"),
        ("aeroelastic", "aeroelasticity", "conduction"),
        ("hypersonic", "supersonic", "temperature"),
    ]:
        assert similarity(word, relative) > 0.4 > 0.3 > abs(similarity(word, stranger))


def test_unrelated_words_are_nearly_orthogonal() -> None:
    letters = np.random.default_rng(0).integers(97, 123, size=(400, 8), dtype=np.uint32)
    words = ["".join(map(chr, row)) for row in letters.tolist()]
    vectors = query_vectors(" ".join(words)).astype(float)
    cosines = (vectors @ vectors.T)[np.triu_indices(len(words), 1)]
    assert abs(cosines.mean()) < 0.01
    assert 0.07 < cosines.std() < 0.11


def test_a_search_prefers_the_document_about_the_query() -> None:
    texts = [
        "the boundary layer on a flat plate and the heat transfer through it",
        "what has been done on this and that, and which of the problems are they",
        "flutter of swept wings at transonic speed",
    ]
    index = ENCODER.encode_documents(["heat", "chatter", "wings"], texts).pack()
    for text, best in [("what is the flutter of a wing", "wings"), ("heating of plates", "heat")]:
        assert kayak.search(ENCODER.encode_query(text), index, k=1)[0].doc_id == best


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Shock-wave, 3.5 m", ["shock", "wave", "3", "5", "m"]),
        ("os.path.read_text(__init__)", ["os", "path", "read", "text", "init"]),
        ("ﬁne Straße STRASSE", ["fine", "strasse", "strasse"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("γ-aminobutyric β₂", ["γ", "aminobutyric", "β2"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("東京 3F タワー", ["東", "京", "3f", "タ", "ワ", "ー"]),
        ("ｶﾞ", ["ガ"]),
        ("ภาษาที่", ["ภ", "า", "ษ", "า", "ที่"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("❤️ ・ … \ud800 _", []),
        (" \n\t", []),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(TEXTS)
def test_words_do_not_depend_on_composition_or_on_what_else_a_text_holds(text: str) -> None:
    assert split_words(unicodedata.normalize("NFD", text)) == split_words(unicodedata.normalize("NFC", text))
    assert split_words(text + " éxtra") == [*split_words(text), "éxtra"]
    assert split_words(text + " 東") == [*split_words(text), "東"]


def test_texts_without_rare_characters_are_split_by_the_same_rules() -> None:
    for character in map(chr, range(0x3000)):
        text = f"X{character}y {character}"
        assert split_words(text) == split_words(f"{text} 東")[:-1], ascii(character)


# --- cost -------------------------------------------------------------------------------------------------------


def test_the_cache_is_bounded_and_changes_nothing() -> None:
    small = kayak.HashingEncoder(cache_size=3)
    text = " ".join(f"word{i}" for i in range(50))
    for _ in range(2):
        np.testing.assert_array_equal(small.encode_document_vectors(text), ENCODER.encode_document_vectors(text))
    assert small.cached_words == 3
    assert kayak.HashingEncoder().cached_words == 0


def test_a_very_long_word_is_one_vector_that_is_not_kept() -> None:
    encoder = kayak.HashingEncoder()
    long, longer = "ab" * 500_000, "ab" * 500_000 + "c"
    one, two = (encoder.encode_document_vectors(word)[0] for word in (long, longer))
    assert encoder.cached_words == 0
    assert not np.array_equal(one, two)


def test_threads_share_an_encoder() -> None:
    encoder = kayak.HashingEncoder(cache_size=20)
    texts = [" ".join(f"word{i * j % 97}" for j in range(1, 40)) for i in range(60)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encoder.encode_document_vectors, texts))
    for text, vectors in zip(texts, found, strict=True):
        np.testing.assert_array_equal(vectors, ENCODER.encode_document_vectors(text))


# --- errors -----------------------------------------------------------------------------------------------------


def test_a_document_without_words_is_named() -> None:
    with pytest.raises(kayak.EncodingError, match=r"document 'b' holds no word .* its text is ' \.\.\. '; leave"):
        ENCODER.encode_documents(["a", "b"], ["wing", " ... "])
    with pytest.raises(kayak.EncodingError, match=r"texts\[1\] holds no word"):
        ENCODER.encode_document_batch(["wing", ""])
    with pytest.raises(kayak.EncodingError, match=r"the query '\?' holds no word \(letters or digits\); give"):
        ENCODER.encode_query("?")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ENCODER.encode_query(3), "the text must be a string, got int"),
        (lambda: ENCODER.encode_document_vectors(None), "the text must be a string, got NoneType"),
        (lambda: ENCODER.tokens(b"wing"), "the text must be a string, got bytes"),
        (lambda: ENCODER.encode_queries("wing"), "query texts must be a sequence of strings, got one str"),
        (lambda: ENCODER.encode_document_batch(["wing", 1]), r"texts\[1\] must be a string, got int"),
        (lambda: kayak.HashingEncoder(dim=12.5), "dim must be an integer"),
        (lambda: kayak.HashingEncoder(seed="x"), "seed must be an integer"),
        (lambda: kayak.HashingEncoder(ngram_range=3), "ngram_range must be a pair such as"),
        (lambda: kayak.HashingEncoder(ngram_range=(3, 4, 5)), "ngram_range must be a pair such as"),
        (lambda: kayak.HashingEncoder(ngram_range=("3", 5)), r"ngram_range\[0\] must be an integer"),
    ],
)
def test_wrong_types_are_refused(call: Any, message: str) -> None:
    with pytest.raises(kayak.InvalidTypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kayak.HashingEncoder(dim=15), "dim must be ≥ 16, got 15"),
        (lambda: kayak.HashingEncoder(seed=-1), "seed must be ≥ 0, got -1"),
        (lambda: kayak.HashingEncoder(cache_size=-1), "cache_size must be ≥ 0, got -1"),
        (lambda: kayak.HashingEncoder(ngram_range=(0, 3)), r"ngram_range\[0\] must be ≥ 1, got 0"),
        (lambda: kayak.HashingEncoder(ngram_range=(5, 3)), r"ngram_range must ascend, got \(5, 3\)"),
        (lambda: ENCODER.encode_documents(["a"], ["x", "y"]), "2 texts for 1 doc_ids; give one text a document"),
    ],
)
def test_values_out_of_range_are_refused(call: Any, message: str) -> None:
    with pytest.raises(kayak.InvalidInputError, match=message):
        call()
