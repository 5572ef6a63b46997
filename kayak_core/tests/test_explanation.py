"""`kayak.explain` against float64 arithmetic written out by hand, and its table, page and heatmap."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

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


class Page(HTMLParser):
    """Collects what a page shows and holds; an unclosed or mismatched element fails."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_self_contained_and_escaped() -> None:
    hostile = '<script>alert("1")</script>&\'x'
    explanation = kayak.explain(
        kayak.query([[1.0, 0.0], [0.0, 2.0]]),
        [[0.5, 0.0], [0.0, 1.5], [-1.0, -1.0]],
        hostile,
        query_tokens=[hostile, "drag"],
        document_tokens=[hostile, '"><img src=x>', "unfound"],
    )
    page = Page(explanation._repr_html_())
    assert page.tags <= {"div", "p", "b", "span", "table", "thead", "tbody", "tr", "th", "td"}
    assert {name for name, _ in page.attributes} <= {"style", "title"}
    assert page.text.count(hostile) == 4  # the id, the query token, the document token, and in the table again
    assert '"><img src=x>' in page.text
    assert "3.5000" in page.text
    assert "85.7%" in page.text
    titles = [value for name, value in page.attributes if name == "title"]
    assert titles == [f"found by 0 {hostile} 0.500", "found by 1 drag 3.000"]
    assert "url(" not in explanation._repr_html_()


def test_html_without_tokens_and_without_positive_scores() -> None:
    page = Page(kayak.explain(kayak.query([[1.0, 0.0]]), [[-1.0, 0.0], [-2.0, 0.0]])._repr_html_())
    assert "[0]" in page.text
    assert "[1]" in page.text
    assert "-1.0000" in page.text
    assert any("width:120px" in value for _, value in page.attributes)  # a share of 100 % of a negative score


def test_a_hit_of_a_search_is_explained_with_tokens(tmp_path: Path) -> None:
    with kayak.open_text_retriever(encoder="hashing", store="memory") as retriever:
        retriever.upsert_texts(["lift", "drag"], ["The lift of wings.", "The drag of plates."])
        hit = retriever.search_text("drag of a plate", k=1)[0]
        explanation = kayak.explain("drag of a plate", retriever, hit)
        assert explanation.doc_id == "drag"
        assert explanation.score == pytest.approx(hit.score, rel=1e-5)
        found = [each.document_token for each in explanation.alignments]
        assert [found[0], found[1], found[3]] == ["drag", "of", "plates"]
        assert explanation.document_tokens == ("the", "drag", "of", "plates")
        again = kayak.explain(retriever.encode_query("drag of a plate"), retriever, hit)
        assert again == explanation
        assert np.array_equal(again.similarities, explanation.similarities)
        session = retriever.session(include_text=True)
        assert kayak.explain("drag of a plate", session, hit) == explanation
        bare = kayak.explain(retriever.encode_query("drag of a plate"), retriever.store, hit)
        assert bare.score == explanation.score
        assert bare.document_tokens is None
        with pytest.raises(kayak.EmptySelectionError, match="the store holds no document 'heat'"):
            kayak.explain("drag", retriever, "heat")
        with pytest.raises(kayak.InvalidInputError, match="name one of the store's with doc_id=, or pass a hit"):
            kayak.explain("drag", retriever)
        with pytest.raises(kayak.InvalidTypeError, match="a text needs a retriever or session"):
            kayak.explain("drag", retriever.load_index(), hit)


def test_the_similarities_are_all_products_and_read_only() -> None:
    query, document = kayak.query([[1.0, 2.0], [0.5, -1.0]]), [[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]
    similarities = kayak.explain(query, document).similarities
    assert similarities.tolist() == [[1.0, 2.0, 6.0], [0.5, -1.0, -1.0]]
    assert similarities.dtype == np.float64
    assert not similarities.flags.writeable


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
        ((None, "two", 3), {}, kayak.InvalidTypeError, "doc_id must be a string or a SearchHit, got int"),
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
