"""`kayak search`, `explain`, `doctor`, `plugins` and `help`: what they write, and how their errors read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kayak
import pytest
from kayak.cli import console, tables
from kayak.cli.app import app
from typer.testing import CliRunner, Result

TEXTS = {
    "lift": "The lift of thin wings. In transonic flow.",
    "drag": "The drag of flat plates and of wings.",
    "heat": "Heat transfer to blunt bodies.",
    "folded/" + "long-" * 20: "A document about plates.",
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> kayak.LateIndex:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    with kayak.open_text_retriever(encoder="hashing", store="kayak", store_kwargs={"path": "kayak-index"}) as retriever:
        rows = [{"number": number} for number in range(len(TEXTS))]
        retriever.upsert_texts(list(TEXTS), list(TEXTS.values()), metadata=rows)
        return retriever.load_index(include_text=True)


def hits_of(*arguments: str) -> list[tuple[str, float]]:
    result = run("search", *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return [(hit["doc_id"], hit["score"]) for hit in json.loads(result.stdout)["hits"]]


def test_the_ranking_is_the_librarys(corpus: kayak.LateIndex) -> None:
    query = kayak.HashingEncoder().encode_query("lift of wings")
    expected = [(hit.doc_id, hit.score) for hit in kayak.search(query, corpus, k=3)]
    assert hits_of("lift of wings", "-k", "3") == expected
    assert hits_of("lift of wings", "-k", "3", "--plan", "native") == expected
    assert hits_of("lift of wings", "-k", "3", "--plan", "proxy") == expected
    plan = kayak.document_proxy_search_plan(1, 1)
    narrow = kayak.search_with_plan(query, corpus, plan).hits
    assert hits_of("lift of wings", "-k", "1", "--plan", "proxy", "--candidate-k", "1") == [
        (hit.doc_id, hit.score) for hit in narrow
    ]


@pytest.mark.parametrize("plan", ["exact", "proxy", "native"])
def test_the_verifier_reorders_the_window(corpus: kayak.LateIndex, plan: str) -> None:
    query = kayak.HashingEncoder().encode_query("drag of wings")
    expected = kayak.search_with_plan(query, corpus, kayak.exact_full_scan_clause_text_search_plan(2, candidate_k=4))
    found = hits_of("drag of wings", "-k", "2", "--plan", plan, "--verify", "clause_text")
    assert found == [(hit.doc_id, pytest.approx(hit.score)) for hit in expected.hits]


def test_the_table() -> None:
    lines = run("search", "drag of wings", "-k", "2").stdout.splitlines()
    assert lines[0].split() == ["#", "score", "document", "text"]
    for line, (rank, (doc_id, score)) in zip(
        lines[2:], enumerate(hits_of("drag of wings", "-k", "2"), start=1), strict=True
    ):
        assert line.split(maxsplit=3)[:3] == [str(rank), f"{score:.3f}", doc_id]
        assert line.strip().endswith(TEXTS[doc_id])
    assert lines[2].split()[2] == "drag"
    assert not any("\x1b" in line for line in lines)


def test_narrow_terminals_fold_ids_and_cut_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    result = run("search", "document about plates", "-k", "4")
    assert all(len(line) <= 60 for line in result.stdout.splitlines())
    joined = "".join(line[13:37].strip() for line in result.stdout.splitlines())
    assert "long-" in joined
    assert "…" in result.stdout


def test_json_holds_texts_metadata_and_profile() -> None:
    answer = json.loads(run("search", "drag", "-k", "1", "--json", "--profile").stdout)
    assert answer["query"] == "drag"
    assert answer["backend"] in kayak.available_backends()
    (hit,) = answer["hits"]
    assert (hit["rank"], hit["text"], hit["metadata"]) == (1, TEXTS["drag"], {"number": 1})
    assert [stage["stage_name"] for stage in answer["profile"]] == ["exact_full_scan", "noop_topk", "none"]
    assert answer["profile"][0]["document_count"] == 4
    assert "profile" not in json.loads(run("search", "wings", "--json").stdout)


def test_a_hit_that_another_process_deletes_is_still_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kayak.DirectoryLateStore, "documents", lambda self, **selection: iter(()))
    answer = json.loads(run("search", "drag", "-k", "1", "--json").stdout)
    assert [(hit["doc_id"], hit["text"], hit["metadata"]) for hit in answer["hits"]] == [("drag", None, {})]
    assert run("search", "drag", "-k", "1").stdout.splitlines()[-1].split()[-1] == "drag"


def test_filters() -> None:
    assert {doc_id for doc_id, _ in hits_of("wings", "--where", '{"number": {"$gte": 2}}')} == set(list(TEXTS)[2:])
    result = run("search", "wings", "--where", '{"number": 99}')
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no document matches\n")
    assert hits_of("wings", "--where", '{"number": 99}') == []


def test_the_profile_table() -> None:
    result = run("search", "wings", "--plan", "proxy", "--profile")
    said = result.stdout
    assert "document_proxy" in said
    assert "exact_late_interaction" in said
    assert f"by {kayak.NUMPY_REFERENCE_BACKEND}" in said or "by mojo" in said
    assert "0 → 4" in said
    assert "document_proxy: one mean vector of all vectors for each of 4 documents, built in" in result.stderr


def test_explain() -> None:
    result = run("explain", "drag wing", "drag")
    assert result.exit_code == 0, result.output
    encoder = kayak.HashingEncoder()
    expected = kayak.explain(encoder.encode_query("drag wing"), encoder.encode_document_vectors(TEXTS["drag"]))
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"score {expected.score:.4f} of document 'drag': 2 query vectors, 7 document vectors")
    assert lines[-2].split()[:5] == [
        "drag",
        "→",
        "drag",
        f"{expected.alignments[0].similarity:.3f}",
        f"{expected.alignments[0].share:.0%}",
    ]
    assert lines[-1].split()[:3] == ["wing", "→", "wings"]
    answer = json.loads(run("explain", "drag wing", "drag", "--json").stdout)
    assert [each["document_token"] for each in answer["alignments"]] == ["drag", "wings"]


def test_explain_without_tokens_shows_positions() -> None:
    def encode(text: str) -> list[list[float]]:
        return [[float(len(word)), 0.0] for word in text.split()]

    kayak.register_encoder("search-plain", lambda: kayak.CallableLateTextEncoder(encode, encode), replace=True)
    with kayak.open_text_retriever(encoder="search-plain", store="kayak", store_kwargs={"path": "plain"}) as retriever:
        retriever.upsert_texts(["a"], ["to be three"])
    result = run("explain", "x", "a", "--encoder", "search-plain", "--path", "plain")
    assert result.stdout.splitlines()[-1].split()[:3] == ["[0]", "→", "[2]"]


def test_explain_with_a_score_of_nothing() -> None:
    with kayak.open_store("kayak", path="zero") as store:
        store.upsert(kayak.documents(["a"], [[[0.0, 1.0]]]))

    def encode(text: str) -> list[list[float]]:
        return [[1.0, 0.0]]

    kayak.register_encoder("search-zero", lambda: kayak.CallableLateTextEncoder(encode, encode), replace=True)
    result = run("explain", "x", "a", "--encoder", "search-zero", "--path", "zero")
    assert result.stdout.splitlines()[-1].split() == ["[0]", "→", "[0]", "0.000"]


def test_explain_refuses_tokens_of_another_encoder() -> None:
    with kayak.open_store("kayak", path="other") as store:
        store.upsert(kayak.documents(["a"], [[[1.0] * 128]], texts=["two words"]))
    result = run("explain", "words", "a", "--path", "other")
    assert result.exit_code == 1
    assert "document 'a' has 1 stored vectors, but its text gives 2 tokens" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["search", "lift", "--path", "nowhere"],
            1,
            "error: there is no store at 'nowhere'; make one with `kayak index",
        ),
        (["search", "..."], 1, "error: the query '...' holds no word"),
        (["search", "lift", "--where", '{"$bad": 1}'], 1, "$bad"),
        (["search", "lift", "--where", "{"], 2, "--where is no JSON"),
        (["search", "lift", "--where", "[1]"], 2, "--where must be a JSON object, got '[1]'"),
        (["search", "lift", "-k", "0"], 2, "greater than or equal to 1"),
        (["search", "lift", "-k", "5", "--candidate-k", "2"], 1, "candidate_k (2) must be at least final_k (5)"),
        (["search", "lift", "--plan", "magic"], 2, "'magic' is not one of 'exact', 'proxy', 'native'"),
        (["search", "lift", "--encoder-arg", "dim=64"], 1, "encoded by 'hashing(dim=128"),
        (["search", "lift", "--store", "qdrantt"], 1, "did you mean 'qdrant'?"),
        (["explain", "lift", "nothing"], 1, "error: the store holds no document 'nothing'"),
        (["help", "serach"], 1, "did you mean 'search'"),
        (["serach", "lift"], 2, "No such command 'serach'"),
    ],
)
def test_wrong_use(arguments: list[str], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert not Path("nowhere").exists()


def test_a_search_makes_no_store() -> None:
    Path("bare").mkdir()
    result = run("search", "lift", "--path", "bare")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert list(Path("bare").iterdir()) == []


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in run("--debug", "search", "...").stderr
    monkeypatch.setenv("KAYAK_DEBUG", "1")
    result = run("search", "...")
    assert (result.exit_code, "Traceback" in result.stderr) == (1, True)
    monkeypatch.setenv("KAYAK_DEBUG", "0")
    assert "Traceback" not in run("search", "...").stderr


def test_texts_cannot_steer_the_terminal() -> None:
    with kayak.open_text_retriever(encoder="hashing", store="kayak", store_kwargs={"path": "evil"}) as retriever:
        retriever.upsert_texts(["\x1b[31mid"], ["evil \x1b]0;title\x07 [bold]text[/bold] :smile: \x9b31m"])
    said = run("search", "evil text", "--path", "evil").stdout
    assert not {"\x1b", "\x07", "\x9b"} & set(said)
    assert "[bold]text[/bold] :smile:" in said


def test_doctor_plugins_and_help() -> None:
    assert run("doctor").stdout.strip() == str(kayak.doctor()).strip()
    assert json.loads(run("doctor", "--json").stdout)["default_backend"] == kayak.doctor().default_backend
    table = run("plugins").stdout
    assert "kayak-core" in table
    assert "encoder: hashing" in table
    listed = json.loads(run("plugins", "--json").stdout)
    assert [plugin["name"] for plugin in listed] == [plugin.name for plugin in kayak.list_plugins()]
    assert run("help").stdout == kayak.help() + "\n"
    assert run("help", "search_text").stdout == kayak.help("search_text") + "\n"
    assert run("--version").stdout == f"kayak {kayak.__version__}\n"


@pytest.mark.parametrize("command", ["demo", "doctor", "plugins", "help", "index", "search", "explain"])
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: kayak {command}" in " ".join(result.stdout.split())
    assert command in run("--help").stdout


def test_no_command_shows_the_help() -> None:
    assert (run("--debug").exit_code, "Missing command" in run("--debug").stderr) == (2, True)
    result = run()
    assert result.exit_code == 2
    assert "Commands" in result.output


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")]
)
def test_bytes_read_in_binary_units(count: int, text: str) -> None:
    assert tables.bytes_text(count) == text


def test_snippets_fit_their_width() -> None:
    assert console.snippet(None, 5) == ""
    assert console.snippet("ab\n\n cd", 5) == "ab cd"
    assert console.snippet("abc def", 5) == "abc…"
    assert console.snippet("漢字漢字", 5) == "漢字…"


def test_notes_of_stages() -> None:
    stage = kayak.SearchStageProfile("s", 0, 1, preparation="proxies", notes=("filtered in the client",))
    assert tables.preparation_notes([stage]) == ["s: proxies, reused", "s: filtered in the client"]


def test_json_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    console.write_json({"score": np.float32(0.5), "text": "é"})
    assert json.loads(capsys.readouterr().out) == {"score": 0.5, "text": "é"}
    with pytest.raises(TypeError, match="object is no JSON value"):
        console.write_json(object())

    class Latin:
        encoding = "latin-1"
        written = ""

        def write(self, text: str) -> None:
            self.written += text

    stream: Any = Latin()
    monkeypatch.setattr("sys.stdout", stream)
    console.write_json("é")
    assert stream.written == '"\\u00e9"\n'
    monkeypatch.setattr("sys.stdout", None)
    console.write_json("é")
