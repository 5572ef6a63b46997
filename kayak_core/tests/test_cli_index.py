"""`kayak index`: what it reads, what it stores, and what it says about what it cannot use."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import kayak
import pytest
from kayak.cli.app import app
from typer.testing import CliRunner, Result


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_jsonl(path: str, rows: list[Any]) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def stored(path: str = "kayak-index") -> dict[str, tuple[str | None, dict[str, Any]]]:
    with kayak.open_store("kayak", path=path, create=False) as store:
        return {
            doc_id: (text, dict(row))
            for batch in store.documents()
            for doc_id, text, row in zip(
                batch.doc_ids,
                batch.texts or (None,) * len(batch),
                batch.metadata or ({},) * len(batch),
                strict=True,
            )
        }


def test_json_lines_with_metadata() -> None:
    source = write_jsonl(
        "corpus.jsonl",
        [
            {"id": "a", "text": "lift of wings", "metadata": {"topic": "wings"}, "year": 1960},
            "",
            {"_id": 7, "title": "Drag", "text": "of plates", "metadata": {}},
            {"id": "c", "title": "Only a title", "text": "", "metadata": None},
            {"id": "d", "title": "", "text": "no title"},
        ],
    )
    result = run("index", source)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("4 documents stored in ")
    assert result.stderr.endswith("; 4 in the store\n")
    assert stored() == {
        "a": ("lift of wings", {"topic": "wings", "year": 1960}),
        "7": ("Drag\nof plates", {}),
        "c": ("Only a title", {}),
        "d": ("no title", {}),
    }


def test_fields_have_configurable_names() -> None:
    source = write_jsonl("c.jsonl", [{"key": "a", "body": "lift", "head": "On", "meta": {"x": 1}, "title": "T"}])
    names = ["--id-field", "key", "--text-field", "body", "--title-field", "head", "--metadata-field", "meta"]
    assert run("index", source, *names).exit_code == 0
    assert stored() == {"a": ("On\nlift", {"x": 1, "title": "T"})}


def test_a_byte_order_mark_and_other_line_ends() -> None:
    Path("bom.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "a", "text": "lift"}\r\n{"id": "b", "text": "drag"}')
    assert run("index", "bom.jsonl").exit_code == 0
    assert list(stored()) == ["a", "b"]


def test_a_folder_of_text_files() -> None:
    for name, text in {
        "notes/a.md": "lift",
        "b.TXT": "drag",
        "c.py": "code",
        ".hidden/d.txt": "secret",
        ".e.txt": "secret",
    }.items():
        (Path("texts") / name).parent.mkdir(parents=True, exist_ok=True)
        (Path("texts") / name).write_text(text)
    assert run("index", "texts").exit_code == 0
    assert stored() == {"b.TXT": ("drag", {}), "notes/a.md": ("lift", {})}
    assert run("index", "texts", "--suffix", "py", "--path", "code").exit_code == 0
    assert stored("code") == {"c.py": ("code", {})}
    assert run("index", "texts/notes/a.md", "--path", "one").exit_code == 0
    assert stored("one") == {"a.md": ("lift", {})}


def test_json_lines_on_stdin() -> None:
    result = run("index", "-", stdin='{"id": "a", "text": "lift"}\n')
    assert result.exit_code == 0, result.output
    assert list(stored()) == ["a"]


@pytest.mark.parametrize("vector_dtype", ["float16", "int8"])
def test_any_store_and_encoder(vector_dtype: str) -> None:
    source = write_jsonl("c.jsonl", [{"id": "a", "text": "lift"}])
    result = run(
        "index", source, "--store", "directory", "--store-arg", "path=small",
        "--store-arg", f"vector_dtype={vector_dtype}",
        "--encoder-arg", "dim=64", "--encoder-arg", "ngram_range=[2, 4]",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with kayak.open_store("kayak", path="small") as store:
        assert store.stats().vector_dtype == vector_dtype
        assert store.stats().vector_dim == 64
        assert store.encoder_fingerprint() == "hashing(dim=64, ngram=2-4, seed=0, v1)"
    assert run("index", source, "--store", "memory").exit_code == 0


def test_a_second_run_writes_only_what_changed() -> None:
    rows = [{"id": str(i), "text": f"text {i}", "metadata": {"n": i}} for i in range(10)]
    run("index", write_jsonl("c.jsonl", rows), "--batch-size", "3")
    with kayak.open_store("kayak", path="kayak-index") as store:
        before = store.generation()
    result = run("index", "c.jsonl")
    assert result.stderr.startswith("0 documents stored, 10 unchanged in ")
    with kayak.open_store("kayak", path="kayak-index") as store:
        assert store.generation() == before
    rows[3]["text"] = "another text"
    rows[4]["metadata"] = {"n": 44}
    result = run("index", write_jsonl("c.jsonl", rows))
    assert result.stderr.startswith("2 documents stored, 8 unchanged in ")
    assert stored()["3"] == ("another text", {"n": 3})
    assert stored()["4"] == ("text 4", {"n": 44})
    assert list(stored()) == [str(i) for i in range(10)]
    assert run("index", "c.jsonl", "--force").stderr.startswith("10 documents stored in ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{not json", "no JSON: Expecting property name"),
        ("[" * 100_000, "no JSON: "),
        ('{"id": "x", "id": "y", "text": "t"}', "no JSON: key 'id' stands twice in one object"),
        ("[1, 2]", "expected a JSON object, got list"),
        ('{"text": "no id"}', "field 'id' is missing; the line has 'text'"),
        ("{}", "field 'id' is missing; the line has none"),
        ('{"id": "x"}', "field 'text' is missing; the line has 'id'"),
        ('{"id": 1.5, "text": "t"}', "field 'id' must be a string or an integer, got float"),
        ('{"id": true, "text": "t"}', "field 'id' must be a string or an integer, got bool"),
        ('{"id": "", "text": "t"}', "empty"),
        ('{"id": "x", "text": ["t"]}', "field 'text' must be a string, got list"),
        ('{"id": "x", "text": "t", "title": 3}', "field 'title' must be a string, got int"),
        ('{"id": "x", "text": "t", "metadata": [1]}', "field 'metadata' must be an object, got list"),
        ('{"id": "x", "text": "t", "year": NaN}', "metadata of document 'x'"),
        ('{"id": "x", "text": "t", "year": 1, "metadata": {"year": 2}}', "'year' stands both in the line and in"),
        ('{"id": "1", "text": "again"}', "id '1' was given already in c.jsonl:1"),
        ('{"id": "x", "text": "..."}', "document 'x' holds no word"),
    ],
)
def test_a_bad_line_stops_before_its_batch(line: str, reason: str) -> None:
    rows: list[Any] = [{"id": str(i), "text": f"text {i}"} for i in range(1, 6)]
    result = run("index", write_jsonl("c.jsonl", [*rows, line]), "--batch-size", "4")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: c.jsonl:6: ")
    assert reason in result.stderr
    assert result.stderr.endswith(
        "Nothing of its batch was stored; --on-error skip leaves such documents out and goes on\n"
    )
    assert result.stderr.count("\n") == 1
    assert list(stored()) == ["1", "2", "3", "4"]
    result = run("index", "c.jsonl", "--on-error", "skip", "--batch-size", "1")
    assert result.exit_code == 0
    assert "skipped c.jsonl:6: " in result.stderr
    assert reason in result.stderr
    assert "1 document stored, 4 unchanged, 1 skipped in " in result.stderr
    assert list(stored()) == ["1", "2", "3", "4", "5"]


def test_bytes_that_are_no_text() -> None:
    Path("c.jsonl").write_bytes(b'{"id": "a", "text": "lift"}\n{"id": "b", "text": "\xff"}\n')
    assert "error: c.jsonl:2: not UTF-8 at byte 21 of the line" in run("index", "c.jsonl").stderr
    Path("texts").mkdir()
    Path("texts/a.txt").write_bytes(b"abc\xff")
    Path("texts/b.txt").write_text("lift")
    result = run("index", "texts", "--on-error", "skip", "--path", "texts-index")
    assert "skipped texts/a.txt: not UTF-8 at byte 3" in result.stderr
    assert list(stored("texts-index")) == ["b.txt"]


def test_files_that_cannot_be_used() -> None:
    Path("texts").mkdir()
    Path("texts/gone.txt").symlink_to("nowhere")
    Path("texts/b.txt").write_text("lift")
    Path(os.fsdecode(b"texts/\xff.txt")).write_text("drag")
    result = run("index", "texts", "--on-error", "skip")
    assert "skipped texts/gone.txt: cannot be read: No such file or directory" in result.stderr
    assert "1 document stored, 2 skipped in " in result.stderr


def test_many_skipped_lines_are_counted() -> None:
    source = write_jsonl("c.jsonl", [{"id": "a", "text": "lift"}, *["["] * 30])
    result = run("index", source, "--on-error", "skip")
    assert "skipped c.jsonl:21: no JSON" in result.stderr
    assert "skipped c.jsonl:22:" not in result.stderr
    assert "skipped 10 more; --json lists them all\n" in result.stderr
    answer = json.loads(run("index", source, "--on-error", "skip", "--json").stdout)
    assert (answer["stored"], answer["unchanged"], len(answer["skipped"])) == (0, 1, 30)
    assert answer["skipped"][29]["place"] == "c.jsonl:31"


def test_a_fault_that_is_in_no_text_is_not_skipped() -> None:
    write_jsonl("c.jsonl", [{"id": "a", "text": "lift"}])
    run("index", "c.jsonl")

    class Wide:
        """Declares no fingerprint, so only the dimension tells."""

        def encode_query(self, text: str) -> kayak.LateQuery:
            return kayak.query([[1.0] * 3], text=text)

        def encode_document_vectors(self, text: str) -> list[list[float]]:
            return [[1.0] * 3]

        def encode_documents(self, doc_ids: list[str], texts: list[str]) -> kayak.LateDocuments:
            return kayak.documents(doc_ids, [self.encode_document_vectors(text) for text in texts], texts=texts)

    kayak.register_encoder("index-wide", Wide, replace=True)
    write_jsonl("d.jsonl", [{"id": "b", "text": "drag"}])
    result = run("index", "d.jsonl", "--encoder", "index-wide", "--on-error", "skip")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "dimension" in result.stderr
    assert list(stored()) == ["a"]


def test_an_encoder_that_does_not_name_the_document() -> None:
    def encode(text: str) -> list[list[float]]:
        if text == "bad":
            raise kayak.EncodingError("too bad")
        return [[1.0, 0.0]]

    kayak.register_encoder("index-vague", lambda: kayak.CallableLateTextEncoder(encode, encode), replace=True)
    source = write_jsonl("c.jsonl", [{"id": "a", "text": "good"}, {"id": "b", "text": "bad"}])
    result = run("index", source, "--encoder", "index-vague")
    assert result.exit_code == 1
    assert "c.jsonl:2: " in result.stderr
    assert "document 'b'" in result.stderr
    assert "too bad" in result.stderr


def test_ctrl_c_keeps_what_is_stored() -> None:
    def encode(text: str) -> list[list[float]]:
        if text == "stop":
            raise KeyboardInterrupt
        return [[1.0, 0.0]]

    kayak.register_encoder("index-stop", lambda: kayak.CallableLateTextEncoder(encode, encode), replace=True)
    source = write_jsonl("c.jsonl", [{"id": "a", "text": "go"}, {"id": "b", "text": "stop"}])
    result = run("index", source, "--encoder", "index-stop", "--batch-size", "1")
    assert result.exit_code == 130
    assert result.stderr.startswith("interrupted: 1 document stored in ")
    assert result.stderr.endswith("; what is stored stays, and the same command goes on from there\n")
    assert list(stored()) == ["a"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["index", "nowhere"], 1, "error: there is no file or folder 'nowhere'; give a JSONL file, a folder of texts"),
        (["index", "empty"], 1, "error: empty holds no files with .txt, .text, .md"),
        (["index", "nothing.jsonl"], 1, "error: nothing.jsonl holds no documents"),
        (["index", "-"], 1, "error: - holds no documents"),
        (["index", "c.jsonl", "--path", "c.jsonl"], 1, "c.jsonl"),
        (["index", "c.jsonl", "--store", "qdrantt"], 1, "did you mean 'qdrant'?"),
        (["index", "c.jsonl", "--encoder", "hash"], 1, "did you mean 'hashing'?"),
        (["index", "c.jsonl", "--encoder-arg", "size=3"], 1, "open_encoder('hashing'): got an unexpected keyword"),
        (["index", "c.jsonl", "--encoder-arg", "dim=NaN"], 1, "dim must be an integer"),
        (["index", "c.jsonl", "--store-arg", "path"], 2, "--store-arg takes key=value, got 'path'"),
        (["index", "c.jsonl", "--store-arg", "a=1", "--store-arg", "a=2"], 2, "--store-arg a is given twice"),
        (["index", "c.jsonl", "--path", "x", "--store-arg", "path=y"], 2, "give the path once"),
        (["index", "c.jsonl", "--batch-size", "0"], 2, "greater than or equal to 1"),
        (["index", "c.jsonl", "--on-error", "ignore"], 2, "'ignore' is not one of 'stop', 'skip'"),
        (["index"], 2, "Missing argument"),
    ],
)
def test_wrong_use(arguments: list[str], code: int, message: str) -> None:
    Path("empty").mkdir()
    Path("nothing.jsonl").write_text("\n\n")
    write_jsonl("c.jsonl", [{"id": "a", "text": "lift"}])
    result = run(*arguments, stdin="")
    assert result.exit_code == code, result.output
    said = " ".join(result.stderr.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in result.stderr
    assert not Path("kayak-index").exists()


def test_another_encoder_is_refused() -> None:
    run("index", write_jsonl("c.jsonl", [{"id": "a", "text": "lift"}]))
    result = run("index", "c.jsonl", "--encoder-arg", "seed=5")
    assert result.exit_code == 1
    assert "encoded by 'hashing(dim=128, ngram=3-5, seed=0, v1)', but this encoder is" in result.stderr
