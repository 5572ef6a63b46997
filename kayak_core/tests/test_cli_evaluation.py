"""`kayak eval`, `compare`, `tune`, `bench`, and the pictures of `kayak explain`."""

from __future__ import annotations

import json
from pathlib import Path

import kayak
import numpy as np
import pytest
from kayak.cli.app import app
from kayak.evaluation import measuring, scan_rates
from typer.testing import CliRunner, Result

pytest.importorskip("ir_measures", reason="ir-measures is not installed (extra eval)")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

WORDS = "lift drag heat flow plate wing shock layer cone jet".split()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    """A BEIR folder `tiny` of 60 documents and 24 queries, indexed into the default store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(measuring, "_SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(scan_rates, "_SETTLE_SECONDS", 0.0)
    generator = np.random.default_rng(0)
    texts = {f"d{i}": " ".join(generator.choice(WORDS, 6)) for i in range(60)}
    queries = {f"q{i}": " ".join(generator.choice(WORDS, 2, replace=False)) for i in range(24)}
    qrels = {f"q{i}": {f"d{i}": 2, f"d{i + 30}": 1} for i in range(20)}
    (tmp_path / "tiny" / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", texts), ("queries", queries)):
        lines = [json.dumps({"_id": each, "text": text}) for each, text in rows.items()]
        (tmp_path / "tiny" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    table = [f"{query}\t{doc}\t{grade}" for query, judged in qrels.items() for doc, grade in judged.items()]
    (tmp_path / "tiny" / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *table]), encoding="utf-8"
    )
    assert run("index", "tiny/corpus.jsonl").exit_code == 0
    return qrels


def library() -> kayak.LateTextRetriever:
    return kayak.open_text_retriever(encoder="hashing", store="kayak", store_kwargs={"path": "kayak-index"})


def test_eval_is_the_librarys(collection: dict[str, dict[str, int]]) -> None:
    found = answer("eval", "tiny", "--plan", "proxy:20:4:1", "-k", "10", "--metric", "nDCG@10", "--metric", "RR")
    dataset = kayak.read_beir("tiny")
    plan = kayak.document_proxy_search_plan(10, 20, document_vector_budget=4, query_vector_budget=1)
    with library() as retriever:
        expected = kayak.evaluate(retriever, dataset.judged_queries, collection, plan=plan, metrics=["nDCG@10", "RR"])
    assert found["metrics"] == expected.metrics
    assert found["recall"]["final"] == expected.recall.final
    assert (found["query_count"], found["judged_query_count"]) == (20, 20)
    assert found["plan"].startswith("document_proxy(query_vector_budget=1, document_vector_budget=4)")


def test_eval_writes_a_run_and_a_picture() -> None:
    result = run(
        "eval", "tiny", "--run", "out.run", "--plot", "out.png", "--limit", "5", "--backend", "numpy_reference"
    )
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == ["wrote out.run", "wrote out.png"]
    assert result.stdout.splitlines()[0] == "exact_full_scan by numpy_reference: 5 queries over 60 documents"
    assert len(kayak.read_trec_run("out.run")) == 5
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_eval_takes_other_judgements(collection: dict[str, dict[str, int]]) -> None:
    Path("mine.qrels").write_text("q21 0 d3 1\n", encoding="utf-8")
    found = answer("eval", "tiny", "--qrels", "mine.qrels")
    assert [each["query_id"] for each in found["queries"]] == ["q21"]


def test_compare() -> None:
    arguments = ["compare", "tiny", "-k", "5", "--repeats", "1", "--backend", "numpy_reference"]
    result = run(
        *arguments, "--plan", "exact", "--plan", "proxy:10", "--plan", "native:10", "--metric", "P@5", "--plot", "c.png"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split()[:3] == ["plan", "recall@5", "P@5"]
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["exact", "proxy:10", "native:10"]
    assert "wrote c.png" in result.stderr
    assert "20 queries over 60 documents" in result.stderr
    found = answer(*arguments, "--metric", "P@5")
    assert [row["name"] for row in found["results"]] == ["exact", "proxy:25", "proxy:100", "proxy:400"]
    assert found["results"][0]["recall"]["final"] == 1.0
    assert len(answer("compare", "tiny", "--repeats", "1", "--limit", "2")["results"]) == 4 * len(
        kayak.available_backends()
    )


def test_tune() -> None:
    arguments = ["tune", "tiny", "--recall", "0.3", "-k", "5", "--candidate-k", "10", "--candidate-k", "50"]
    found = answer(*arguments, "--document-budget", "0", "--seed", "3", "--confidence", "0.8")
    with library() as retriever:
        expected = kayak.tune_plan(
            retriever,
            kayak.read_beir("tiny").queries,
            recall_target=0.3,
            k=5,
            candidate_ks=[10, 50],
            generators=[kayak.document_proxy_candidate_generator()],
            confidence=0.8,
            seed=3,
        )
    assert found["reached"]
    assert found["candidate_k"] == expected.candidate_k
    assert found["interval"] == [expected.interval.low, expected.interval.high] if expected.interval else False
    result = run(*arguments, "--plot", "tune.png")
    assert result.exit_code == 0, result.output
    assert "reaches recall 0.3 of the exact top 5." in result.stdout
    assert result.stdout.splitlines()[0].split()[0] == "window"
    assert Path("tune.png").stat().st_size > 10_000
    native = answer("tune", "tiny", "--native", "--recall", "0.3", "-k", "5", "--limit", "20")
    assert native["candidate_k"] == 5


def test_tune_that_finds_nothing_ends_with_1() -> None:
    result = run("tune", "tiny", "--recall", "0.99", "--candidate-k", "10")
    assert result.exit_code == 1
    assert "No plan reaches recall 0.99" in result.stdout
    result = run("tune", "tiny", "--recall", "0.99", "--candidate-k", "10", "--json")
    assert (result.exit_code, json.loads(result.stdout)["reached"]) == (1, False)


def test_bench() -> None:
    arguments = ["bench", "--documents", "10", "--rounds", "1", "--backend", "numpy_reference"]
    found = answer(*arguments, "--vectors", "5", "--dim", "8", "--query-vectors", "3")
    assert (found["document_vector_count"], found["vector_dim"], found["query_vector_count"]) == (50, 8, 3)
    result = run(*arguments, "--plot", "bench.png")
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["numpy_reference", "limit:", "limit:"]
    assert "one query of 32 vectors over 10 documents" in result.stderr
    assert Path("bench.png").exists()


def test_explain_draws_and_writes_a_page() -> None:
    result = run("explain", "lift drag", "d1", "--plot", "e.png", "--html", "e.html")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == ["wrote e.png", "wrote e.html"]
    page = Path("e.html").read_text(encoding="utf-8")
    assert page.startswith('<!doctype html><html lang="en">')
    assert "query token" in page
    assert Path("e.png").read_bytes().startswith(b"\x89PNG")
    refused = run("explain", "lift", "d1", "--html", "no/e.html")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "error: cannot write the page 'no/e.html': No such file or directory\n",
    )


def test_datasets_of_ir_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    read = kayak.read_beir("tiny")
    monkeypatch.setattr("kayak.cli.measuring.read_ir_dataset", lambda name: read if name == "tiny" else None)
    assert answer("eval", "irds:tiny", "--limit", "3")["query_count"] == 3
    Path("mine.qrels").write_text("q21 0 d3 1\n", encoding="utf-8")
    assert answer("eval", "irds:tiny", "--qrels", "mine.qrels")["query_count"] == 1
    assert len(answer("tune", "irds:tiny", "--recall", "0.1", "-k", "5")["points"]) > 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["eval", "nowhere"], 1, "there is no folder 'nowhere'; a BEIR collection is a folder with"),
        (["eval", "tiny", "--split", "dev"], 1, "is missing; the splits here are 'test'"),
        (["eval", "tiny", "--path", "nothing"], 1, "there is no store at 'nothing'"),
        (["eval", "tiny", "--plan", "proxy"], 2, "--plan 'proxy' is not known; expected exact, proxy:CANDIDATE_K"),
        (["eval", "tiny", "--plan", "proxy:ten"], 2, "--plan 'proxy:ten' holds something else than numbers"),
        (["eval", "tiny", "--plan", "exact:5"], 2, "--plan 'exact:5' is not known"),
        (["eval", "tiny", "-k", "10"], 1, "R@100 looks at 100 documents, but the plan returns 10"),
        (["eval", "tiny", "--metric", "quality"], 1, "'quality' is no metric that ir-measures knows"),
        (["eval", "tiny", "--plot", "out.txt2"], 1, "must end in one of"),
        (["compare", "tiny", "--plan", "exact", "--plan", "exact"], 2, "a plan is given twice: exact, exact"),
        (["compare", "tiny", "--plan", "proxy:3"], 1, "candidate_k (3) must be at least final_k (10)"),
        (["tune", "tiny", "--recall", "2"], 1, "recall_target must lie between 0 and 1"),
        (["tune", "tiny", "--native", "--document-budget", "3"], 2, "name two different first stages"),
        (["tune", "nowhere"], 1, "cannot read 'nowhere/queries.jsonl'"),
        (["bench", "--backend", "gpu"], 1, "gpu"),
    ],
)
def test_wrong_use(arguments: list[str], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
