"""Real documents, through the command line and through a retriever."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import kayak
import pytest
from kayak.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.* tokens, and the model reads the first")
Checkpoint = Callable[[str], Path]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[object, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[object, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["kayak", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        shown = capsys.readouterr()
        return stopped.value.code, shown.out, shown.err

    return run


@pytest.fixture
def part_of_cranfield(cranfield: Path, tmp_path: Path) -> Path:
    """Every sixth document of Cranfield, with its queries, their judgements, and a document that is empty."""
    folder = tmp_path / "part"
    (folder / "qrels").mkdir(parents=True)
    documents = (cranfield / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = [line for line in documents if int(json.loads(line)["_id"]) % 6 == 0 or json.loads(line)["_id"] == "471"]
    (folder / "corpus.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    for name in ("queries.jsonl", "qrels/test.tsv"):
        (folder / name).write_bytes((cranfield / name).read_bytes())
    return folder


def test_index_search_explain_and_evaluate_cranfield(
    run: Callable[..., tuple[object, str, str]], checkpoint: Checkpoint, part_of_cranfield: Path
) -> None:
    corpus = str(part_of_cranfield / "corpus.jsonl")
    count = len(Path(corpus).read_text(encoding="utf-8").splitlines()) - 1
    encoder = ("--encoder", "colbert", "--encoder-arg", f"model_name={checkpoint('stanford')}")
    code, _, problems = run("index", corpus, *encoder)
    assert code == 1
    assert "document '471' cannot be encoded: the document is empty" in problems

    code, _, said = run("index", corpus, *encoder, "--on-error", "skip")
    assert code == 0, said
    assert "1 skipped" in said
    assert f"{count} in the store" in said

    question = "heat transfer to a blunt body"
    code, found, said = run("search", question, *encoder, "--json", "-k", "3")
    assert code == 0, said
    hits = json.loads(found)["hits"]
    assert len(hits) == 3

    code, explained, said = run("explain", question, hits[0]["doc_id"], *encoder, "--json")
    assert code == 0, said
    alignments = json.loads(explained)["alignments"]
    assert [each["query_token"] for each in alignments][2:8] == ["heat", "transfer", "t", "##o", "a", "blunt"]
    assert all(each["document_token"] for each in alignments)
    assert json.loads(explained)["score"] == pytest.approx(hits[0]["score"], abs=1e-3)

    code, measured, said = run("eval", str(part_of_cranfield), *encoder, "--json", "--limit", "20")
    assert code == 0, said
    assert '"nDCG@10"' in measured

    code, _, said = run("search", question)
    assert code == 1
    assert "colbert(sha256=" in said
    assert "hashing(" in said


def test_a_retriever_batches_queries(checkpoint: Checkpoint) -> None:
    texts = {"a": "thin wings flutter at high speed", "b": "heat transfer in the boundary layer", "c": "shell buckling"}
    with kayak.open_text_retriever(
        encoder="colbert", store="memory", encoder_kwargs={"model_name": str(checkpoint("stanford")), "device": "cpu"}
    ) as retriever:
        retriever.upsert_texts(list(texts), list(texts.values()))
        batch = retriever.search_text_batch(list(texts.values()), k=1)
        assert [hits[0].doc_id for hits in batch] == list(texts)
