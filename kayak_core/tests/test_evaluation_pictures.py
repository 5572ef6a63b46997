"""Every picture is drawn, opened and looked at: size, ink, labels, what it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import kayak
import numpy as np
import pytest
from collections_for_tests import random_index, random_qrels, random_queries

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
pytest.importorskip("ir_measures", reason="ir-measures is not installed (extra eval)")

from pictures import checked_picture, texts_of

INDEX = random_index()
QUERIES = random_queries()
QRELS = random_qrels(QUERIES, INDEX.doc_ids)
PLANS = {"exact": kayak.exact_full_scan_search_plan(5), "proxy $20$": kayak.document_proxy_search_plan(5, 20)}


def test_comparison(tmp_path: Path) -> None:
    comparison = kayak.compare_plans(INDEX, QUERIES, PLANS, repeats=1, backends=["numpy_reference"])
    figure = checked_picture(comparison.plot, tmp_path / "compare.png")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "recall of the exact top 5"
    assert "milliseconds a query" in axes.get_xlabel()
    shown = texts_of(figure)
    assert "exact" in shown
    assert r"proxy \$20\$" in shown
    points = {
        tuple(point)
        for line in axes.lines
        for point in np.round(np.column_stack(line.get_data()).astype(float), 9).tolist()
    }
    for each in comparison:
        assert (round(each.latency.p50 * 1e3, 9), round(each.recall.final, 9)) in points


def test_many_results_still_fit(tmp_path: Path) -> None:
    plans = {f"plan number {n}": kayak.document_proxy_search_plan(5, 5 + n) for n in range(14)}
    comparison = kayak.compare_plans(
        INDEX, dict(list(QUERIES.items())[:3]), plans, repeats=1, backends=["numpy_reference"]
    )
    checked_picture(comparison.plot, tmp_path / "many.png")


@pytest.mark.parametrize("metrics", [["nDCG@5"], ["nDCG@5", "P@5"], ["nDCG@5", "P@5", "RR"]])
def test_evaluation(metrics: list[str], tmp_path: Path) -> None:
    result = kayak.evaluate(INDEX, QUERIES, QRELS, plan=PLANS["proxy $20$"], metrics=metrics)
    figure = checked_picture(result.plot, tmp_path / "evaluation.png")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["milliseconds a query", "recall of the exact top 5", *metrics]
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == len(QUERIES)


@pytest.mark.parametrize("target", [0.5, 0.98])
def test_tuning(target: float, tmp_path: Path) -> None:
    result = kayak.tune_plan(INDEX, QUERIES, recall_target=target, k=5, candidate_ks=[5, 20, 60])
    assert result.reached == (target == 0.5)
    figure = checked_picture(result.plot, tmp_path / "tuning.png")
    shown = texts_of(figure)
    assert figure.axes[0].get_xlabel() == "candidate_k (logarithmic)"
    assert "document_proxy(document_vector_budget=32)" in shown
    assert "target" in shown
    assert ("chosen" in shown) == result.reached


def test_scan_rates(tmp_path: Path) -> None:
    rates = kayak.measure_scan_rates(document_count=20, rounds=1, backends=["numpy_reference"])
    figure = checked_picture(rates.plot, tmp_path / "bench.png")
    assert "numpy_reference" in texts_of(figure)
    assert "limit: one read" in texts_of(figure)


def test_explanation_heatmap(tmp_path: Path) -> None:
    query, document = kayak.query([[1.0, 0.0], [0.0, 2.0]]), [[0.5, 0.0], [0.0, 1.5], [0.3, 0.3]]
    explanation = kayak.explain(
        query, document, "wings", query_tokens=["lift", "drag"], document_tokens=["lifted", "dragged", "at $5 a piece"]
    )
    figure = checked_picture(explanation.plot, tmp_path / "heatmap.png")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("document token", "query token")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0 lift", "1 drag"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0 lifted", "1 dragged", r"2 at \$5 a piece"]
    assert np.array_equal(axes.images[0].get_array(), explanation.similarities)
    assert [patch.get_xy() for patch in axes.patches] == [(-0.5, -0.5), (0.5, 0.5)]
    assert "score 3.500 of wings" in axes.get_title(loc="left")


@pytest.mark.parametrize("query_vectors", [3, 60])
def test_long_documents_show_what_was_found(query_vectors: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    explanation = kayak.explain(
        kayak.query(generator.standard_normal((query_vectors, 8))), generator.standard_normal((300, 8))
    )
    figure = checked_picture(explanation.plot, tmp_path / "long.png")
    axes = figure.axes[0]
    shown = [int(label.get_text()) for label in axes.get_xticklabels()]
    assert {each.document_position for each in explanation.alignments} <= set(shown)
    assert len(shown) <= max(48, len({each.document_position for each in explanation.alignments}))
    assert f"{300 - len(shown)} tokens that nothing found are left out" in axes.get_title(loc="left")


def test_a_score_of_zero_is_drawn(tmp_path: Path) -> None:
    checked_picture(kayak.explain(kayak.query([[1.0, 0.0]]), [[0.0, 1.0]]).plot, tmp_path / "zero.png")


def test_vector_formats_and_wrong_files(tmp_path: Path) -> None:
    explanation = kayak.explain(kayak.query([[1.0, 0.0]]), [[1.0, 1.0]])
    assert explanation.plot(tmp_path / "picture.svg").read_text(encoding="utf-8").count("<svg") == 1
    with pytest.raises(kayak.InvalidInputError, match=r"must end in one of .*\.png.* for example picture\.png"):
        explanation.plot(tmp_path / "picture.bmpp")
    with pytest.raises(kayak.InvalidInputError, match=r"cannot write the picture .*: No such file or directory"):
        explanation.plot(tmp_path / "nowhere" / "picture.png")
    assert [file.name for file in tmp_path.iterdir()] == ["picture.svg"]


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    code = (
        "import sys, kayak, matplotlib as mpl\n"
        "mpl.use('Agg')\n"
        "before = dict(mpl.rcParams)\n"
        "loaded = 'matplotlib.pyplot' in sys.modules\n"
        "kayak.explain(kayak.query([[1.0, 0.0]]), [[1.0, 1.0]]).plot('picture.png')\n"
        "print(dict(mpl.rcParams) == before, loaded == ('matplotlib.pyplot' in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
