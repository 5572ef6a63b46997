"""The figures of centroid candidates: how the benchmark makes them, and where the pages show them."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("kayak_centroids", reason="kayak-centroids is not installed, and the benchmark needs it")

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
PAGES = (ROOT / "docs/explanation/centroid-interaction.md", ROOT / "docs/how-to/centroid-candidates.md")


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def setting(name: str, recalls: list[float], milliseconds: list[float], every: int = 1) -> dict[str, Any]:
    return {
        "name": name,
        "every": every,
        "recalls": recalls,
        "milliseconds": milliseconds,
        "recall": float(np.mean(recalls)),
        "p50_ms": float(np.median(milliseconds)),
    }


def parts_of(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "first": {"rows": {"mojo_exact_cpu": ours}, "built": {"mojo_exact_cpu": {"build_seconds": 2.0}}},
        "peers": {"rows": {"fast-plaid": theirs}, "built": {"fast-plaid": {"build_seconds": 90.0}}},
    }


def test_peers_are_compared_over_the_queries_that_they_answered(benchmark_module: Callable[[str], Any]) -> None:
    comparison = benchmark_module("candidate_comparison")
    slow = setting("slow", [0.9, 0.9], [60.0, 60.0], every=2)
    # Over all queries our recall is 0.75; over those that the peer answered, the first and the third, it is 1.
    ours = setting("ours", [1.0, 0.5, 1.0, 0.5], [3.0, 9.0, 3.0, 9.0])
    (found,) = comparison.comparisons(parts_of([ours], [setting("quick", [0.5] * 4, [20.0] * 4), slow]))
    assert found.best.name == "slow"
    assert found.ours is not None
    assert found.ours.recall == 1.0
    assert found.ratio == pytest.approx(20.0)
    assert found.build == pytest.approx(45.0)
    assert found.beaten_at == ()
    assert found.beats == ()


def test_a_comparison_says_where_the_peer_is_ahead(benchmark_module: Callable[[str], Any]) -> None:
    comparison = benchmark_module("candidate_comparison")
    parts = parts_of([setting("ours", [0.9], [5.0])], [setting("theirs", [0.95], [4.0])])
    (found,) = comparison.comparisons(parts)
    assert found.ours is None
    assert found.ratio is None
    assert found.beaten_at == ("theirs",)
    assert found.beats == ("ours",)
    (line,) = comparison._peer_lines(parts)
    assert "none of ours reaches its recall 0.9500" in line


def test_the_model_of_cost_finds_rates_and_never_negative_ones(benchmark_module: Callable[[str], Any]) -> None:
    cost = benchmark_module("candidate_cost")
    rows = [
        {"x": np.array([1.0, n, n**0.5 * probes]), "ms": 0.4 + 1e-6 * n + 2e-3 * n**0.5 * probes}
        for n in (1e3, 1e4, 1e5, 1e6)
        for probes in (4, 16)
    ]
    assert cost.fit(rows, lambda row: row["x"], "ms") == pytest.approx([0.4, 1e-6, 2e-3])
    falling = [{"x": np.array([1.0, n]), "ms": 2 - n} for n in (0.1, 0.5, 1.0)]
    rates = cost.fit(falling, lambda row: row["x"], "ms")
    assert rates[1] == 0
    assert rates[0] > 0


def test_every_table_of_the_pages_is_there_and_can_be_made_again(benchmark_module: Callable[[str], Any]) -> None:
    report = benchmark_module("candidate_report")
    found = [match for page in PAGES for match in report.PLACE.finditer(page.read_text(encoding="utf-8"))]
    assert {match[2] for match in found} == set(report.TABLES)
    for match in found:
        assert match[0].count("\n|") >= 3, f"the table {match[2]} is empty"


def collection(folder: Path, cache: Path) -> None:
    """Write a collection of random directions, its vectors where the benchmark looks for encoded ones."""
    generator = np.random.default_rng(0)
    groups = {}
    for part, texts, length in (("documents", 120, 8), ("queries", 12, 5)):
        vectors = generator.standard_normal((texts * length, 16)).astype(np.float32)
        groups[f"{part}_ids"] = np.array([f"{part[0]}{i}" for i in range(texts)])
        groups[f"{part}_offsets"] = np.arange(texts + 1) * length
        groups[f"{part}_vectors"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cache.mkdir()
    np.savez(cache / f"minilm-{folder.name}-128.npz", **groups)
    (folder / "qrels").mkdir(parents=True)
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(10))  # the others are not judged, and not asked
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, encoding="utf-8")


def test_the_benchmark_measures_reports_and_keeps_parts(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed, and the picture needs it")
    collection(tmp_path / "small", tmp_path / "cache")
    figures = tmp_path / "figures.json"

    def run(script: str, *arguments: str) -> str:
        command = [sys.executable, str(BENCHMARKS / script), *arguments]
        # Packages are found as they were found here.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = ["--data", str(tmp_path / "small"), "--cache", str(tmp_path / "cache"), "--json", str(figures)]
    run("candidates.py", "first", *where, "--backends", "numpy_reference")
    sizes = ["--sizes", "100", "200", "400", "800"]
    told = run("candidates.py", "scale", *where, "--backends", "numpy_reference", *sizes)
    assert "exponents of cost" in told
    parts = json.loads(figures.read_text(encoding="utf-8"))
    assert set(parts) == {"first", "scale"}, "a part that did not run keeps its figures"
    assert parts["first"]["queries"] == 10
    assert parts["first"]["exact"]["numpy_reference"]["recall"] == 1
    last = parts["first"]["rows"]["numpy_reference"][-1]
    assert last["candidate_k"] == 400, "a window of all documents"
    assert last["recall"] == 1
    assert [curve["rows"][-1]["documents"] for curve in parts["scale"]["simulation"]["curves"]] == [10**8] * 2

    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- candidates: fit, x -->\nold\n<!-- end -->\n<!-- candidates: peers -->\nkept\n<!-- end -->\n"
    )
    picture = tmp_path / "picture.png"
    run("candidate_report.py", str(figures), "--page", str(page), "--picture", str(picture))
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert re.search(r"^\| query \| .* ms \| .* ms \| [+-]\d+% \|$", text, re.MULTILINE)
    assert "kept" in text, "there are no figures of peers"
    assert picture.stat().st_size > 10_000
