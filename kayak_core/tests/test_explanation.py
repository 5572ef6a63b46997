"""`kayak.explain` against float64 arithmetic written out by hand."""

from __future__ import annotations

import json

import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

VALUES = st.floats(-4, 4, width=32).map(lambda x: round(x, 2))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    dim = draw(st.integers(1, 5))
    rows = st.integers(1, 6)
    query = draw(hnp.arrays(np.float32, (draw(rows), dim), elements=VALUES))
    document = draw(hnp.arrays(np.float32, (draw(rows), dim), elements=VALUES))
    repeats = draw(st.lists(st.integers(0, len(document) - 1), max_size=4))
    return query, np.concatenate([document, document[repeats]])


@given(pairs())
def test_each_query_token_finds_the_first_best_document_token(pair: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, document = pair
    explanation = kayak.explain(kayak.query(vectors), document)
    for number, alignment in enumerate(explanation.alignments):
        products = [sum(float(a) * float(b) for a, b in zip(vectors[number], row, strict=True)) for row in document]
        assert alignment.query_position == number
        assert alignment.similarity == pytest.approx(max(products), rel=1e-12, abs=1e-12)
        chosen = document[alignment.document_position]
        assert not any((chosen == earlier).all() for earlier in document[: alignment.document_position])
    assert explanation.score == pytest.approx(sum(a.similarity for a in explanation.alignments), rel=1e-12, abs=1e-12)
    assert explanation.query_vector_count == len(vectors)
    assert explanation.document_vector_count == len(document)


@given(pairs())
def test_the_score_is_that_of_maxsim(pair: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, document = pair
    query = kayak.query(vectors)
    score = kayak.maxsim(query, kayak.documents(["d"], [document]).pack()).values[0]
    scale = float(np.abs(vectors).sum() * np.abs(document).max()) + 1e-30
    assert abs(kayak.explain(query, document).score - score) <= 1e-5 * scale


def test_shares_add_up_and_the_table_names_tokens() -> None:
    query = kayak.query([[1.0, 0.0], [0.0, 2.0]])
    explanation = kayak.explain(
        query,
        [[0.5, 0.0], [0.0, 1.5]],
        "wings",
        query_tokens=["lift", "drag"],
        document_tokens=["lifted", "dragged"],
    )
    assert explanation.score == 3.5
    assert [a.share for a in explanation.alignments] == [0.5 / 3.5, 3.0 / 3.5]
    assert str(explanation).splitlines() == [
        "score 3.5000 of document 'wings': 2 query vectors, 2 document vectors",
        "  query token  document token  similarity    share",
        "  0 lift       0 lifted            0.5000    14.3%",
        "  1 drag       1 dragged           3.0000    85.7%",
    ]
    again = json.loads(json.dumps(explanation.to_dict()))
    assert again["alignments"][1] == {
        "query_position": 1,
        "document_position": 1,
        "similarity": 3.0,
        "share": 3.0 / 3.5,
        "query_token": "drag",
        "document_token": "dragged",
    }


def test_a_score_of_zero_has_no_shares() -> None:
    explanation = kayak.explain(kayak.query([[1.0, 0.0]]), [[0.0, 1.0]])
    assert explanation.alignments[0].share is None
    assert str(explanation).splitlines() == [
        "score 0.0000 of the document: 1 query vectors, 1 document vectors",
        "  query token  document token  similarity    share",
        "  0            0                   0.0000",
    ]


def test_documents_and_indexes_are_taken_by_id() -> None:
    query = kayak.query([[1.0, 0.0]])
    documents = kayak.documents(["a", "b"], [[[1.0, 0.0]], [[3.0, 0.0], [2.0, 1.0]]])
    assert kayak.explain(query, documents, "b").score == 3.0
    assert kayak.explain(query, documents.pack(), "a").score == 1.0
    only = kayak.explain(query, documents.pack().select(["b"]))
    assert (only.doc_id, only.score) == ("b", 3.0)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("text", [[1.0, 0.0]]), {}, kayak.InvalidTypeError, "expected a LateQuery, got str"),
        ((None, [[1.0]]), {}, kayak.InvalidInputError, "the query has dimension 2, but the document has 1"),
        ((None, "two"), {}, kayak.InvalidInputError, "takes one document, and here are 2; name one with doc_id="),
        ((None, "two", "c"), {}, kayak.InvalidInputError, "document id 'c' is not in this index of 2 documents"),
        ((None, "two", 3), {}, kayak.InvalidTypeError, "doc_id must be a string, got int"),
        ((None, []), {}, kayak.InvalidInputError, "document"),
        (
            (None, [[1.0, 0.0]]),
            {"query_tokens": ["a", "b"]},
            kayak.InvalidInputError,
            "2 query_tokens for 1 query vectors; give one token a vector",
        ),
        (
            (None, [[1.0, 0.0]]),
            {"document_tokens": []},
            kayak.InvalidInputError,
            "0 document_tokens for 1 document vectors",
        ),
    ],
)
def test_wrong_input_is_named(arguments: tuple, options: dict, error: type[Exception], message: str) -> None:
    two = kayak.documents(["a", "b"], [[[1.0, 0.0]], [[3.0, 0.0]]]).pack()
    query, document, *rest = arguments
    with pytest.raises(error, match=message.replace("(", r"\(")):
        kayak.explain(
            kayak.query([[1.0, 0.0]]) if query is None else query,
            two if isinstance(document, str) else document,
            *rest,
            **options,
        )
