"""`kayak demo`: the standard library's docstrings, found without importing anything, indexed once."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import kayak
import pytest
from kayak.cli import demo, stdlib_docs
from kayak.cli.app import app
from typer.testing import CliRunner, Result


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["demo", *arguments])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "here"
    start = time.process_time()
    result = run("--path", str(folder))
    assert result.exit_code == 0, result.output
    assert time.process_time() - start < 40
    assert "Indexed the docstrings of Python" in result.stdout
    return folder


def test_a_second_run_reuses_the_index(built: Path) -> None:
    catalog = built / "index" / "catalog.sqlite"
    before = catalog.stat().st_mtime_ns
    result = run("--path", str(built))
    assert result.exit_code == 0, result.output
    assert "Reusing the index of the docstrings of Python" in result.stdout
    assert catalog.stat().st_mtime_ns == before
    for question in demo.QUESTIONS:
        assert f"? {question}" in result.stdout
    for part in ("subprocess.run", "difflib.", "document_proxy", "exact_late_interaction", "a window of 200 holds"):
        assert part in " ".join(result.stdout.split())
    assert "Your question" not in result.stdout


def test_a_question_of_ones_own(built: Path) -> None:
    result = run("compress data with gzip", "--path", str(built))
    assert result.exit_code == 0, result.output
    assert "? compress data with gzip" in result.stdout
    assert "gzip.compress" in result.stdout
    assert "Why gzip.compress?" in result.stdout
    assert demo.QUESTIONS[0] not in result.stdout
    result = run("...", "--path", str(built))
    assert (result.exit_code, "error: the query '...' holds no word" in result.stderr) == (1, True)


def test_the_corpus_is_real(built: Path) -> None:
    with kayak.open_store("kayak", path=built / "index", create=False) as store:
        assert store.stats().document_count > 2000
        index = store.load_index(where={"kind": "function"}, include_text=True)
        assert json.dumps.__doc__ is not None
        text = dict(zip(index.doc_ids, index.doc_texts or (), strict=True))["json.dumps"]
    assert text is not None
    assert text.startswith("json.dumps\n\nSerialize ``obj`` to a JSON formatted ``str``.")


def test_shown_recall_is_that_of_the_window(built: Path) -> None:
    question = "read rows from a CSV file"
    said = " ".join(run(question, "--path", str(built)).stdout.split())
    with kayak.open_text_retriever(
        encoder="hashing", store="kayak", store_kwargs={"path": str(built / "index")}
    ) as retriever:
        best = {hit.doc_id for hit in retriever.search_text(question, k=5)}
        for size in (200, 1000, 3000):
            plan = kayak.document_proxy_search_plan(5, size)
            window = retriever.search_text_with_plan(question, plan).candidate_stage.candidate_doc_ids
            assert f"{size:,} holds {len(best & set(window))}" in said


def test_questions_are_asked_on_a_terminal(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    asked = iter(["compress data with gzip", "...", ""])
    monkeypatch.setattr(demo, "stdout", lambda: Console(force_terminal=True, width=100, highlight=False))
    monkeypatch.setattr(Console, "input", lambda self, prompt: next(asked))
    monkeypatch.setattr(demo, "_is_interactive", lambda console: True)
    result = run("--path", str(built))
    assert result.exit_code == 0, result.output
    assert "gzip.compress" in result.stdout
    assert "error: the query '...' holds no word" in result.stderr

    def at_the_end(self: Console, prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(Console, "input", at_the_end)
    assert run("--path", str(built)).exit_code == 0


def small_corpus(folder: Path | None = None) -> Any:
    for number in range(9):
        yield stdlib_docs.DocEntry(f"json.f{number}", "json", "function", f"Serialize Python object {number} to JSON.")


def test_the_index_lies_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "stdlib_docs", small_corpus)
    monkeypatch.setattr(demo, "cache_folder", lambda: tmp_path / "cache")
    assert run("JSON").exit_code == 0
    (folder,) = (tmp_path / "cache" / "demo").iterdir()
    assert folder.name.startswith(f"python-{sys.version_info.major}.{sys.version_info.minor}.")
    assert sorted(entry.name for entry in folder.iterdir()) == ["complete.json", "index"]


def test_an_incomplete_or_outdated_index_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path | None = None) -> Any:
        yield from small_corpus()
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "stdlib_docs", interrupted)
    result = run("JSON", "--path", str(tmp_path / "d"))
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    monkeypatch.setattr(demo, "stdlib_docs", small_corpus)
    assert "Indexed" in run("JSON", "--path", str(tmp_path / "d")).stdout
    assert "Reusing" in run("JSON", "--path", str(tmp_path / "d")).stdout
    for outdated in ('{"key": "another"}', "{}", "[]", "not JSON"):
        (tmp_path / "d" / "complete.json").write_text(outdated)
        assert "Indexed" in run("JSON", "--path", str(tmp_path / "d")).stdout


def test_a_damaged_index_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "stdlib_docs", small_corpus)
    assert run("JSON", "--path", str(tmp_path)).exit_code == 0
    (tmp_path / "index" / "catalog.sqlite").write_bytes(b"nothing like a catalog" * 100)
    result = run("JSON", "--path", str(tmp_path))
    assert (result.exit_code, "Indexed" in result.stdout) == (0, True)
    assert result.stderr.startswith(f"the index of an earlier run in {tmp_path} is damaged or of another format, so ")
    assert "Reusing" in run("JSON", "--path", str(tmp_path)).stdout


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "stdlib_docs", small_corpus)
    (tmp_path / "letters.txt").write_text("mine")
    result = run("--path", str(tmp_path))
    assert result.exit_code == 1
    assert "holds 'letters.txt', which is not the demo's; give an empty folder as --path" in result.stderr
    result = run("--path", str(tmp_path / "letters.txt"))
    assert result.exit_code == 1
    assert "cannot hold the demo's index" in result.stderr
    assert (tmp_path / "letters.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/kayak"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/kayak"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/kayak"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "home/Library/Caches/kayak"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/kayak/Cache"),
        ("win32", {}, "home/AppData/Local/kayak/Cache"),
    ],
)
def test_cache_folders(
    platform: str, variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert demo.cache_folder() == tmp_path / expected


def test_docstrings_are_found_by_reading(tmp_path: Path) -> None:
    files = {
        "json/__init__.py": '"""JSON."""\nraise SystemExit("imported")\ndef dumps(): "Dump."\nasync def aio(): "Go."',
        "json/decoder.py": 'class D:\n  """A decoder."""\n  def go(self): "Go."\n  def _no(self): "No."\n  x = 1',
        "json/tests/t.py": '"""A test."""',
        "json/_hidden.py": '"""Hidden."""',
        "abc.py": '"""..."""\ndef f(): pass\ndef g(): "One."\ndef g(): "Two."\nif 1:\n  def h(): "Nested."',
        "ast.py": "def broken(:",
        "csv.py": "\0",
        "turtledemo/x.py": '"""An application."""',
        "foreign.py": '"""Not of the standard library."""',
        "re.txt": "text",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [(entry.name, entry.kind, entry.text) for entry in stdlib_docs.stdlib_docs(tmp_path)]
    assert found == [
        ("abc.g", "function", "abc.g\n\nOne."),
        ("json", "module", "json\n\nJSON."),
        ("json.dumps", "function", "json.dumps\n\nDump."),
        ("json.aio", "function", "json.aio\n\nGo."),
        ("json.decoder.D", "class", "json.decoder.D\n\nA decoder."),
        ("json.decoder.D.go", "method", "json.decoder.D.go\n\nGo."),
    ]


def test_a_python_without_sources_is_named(tmp_path: Path) -> None:
    with pytest.raises(kayak.UnsupportedOperationError, match="no sources of the standard library with docstrings"):
        list(stdlib_docs.stdlib_docs(tmp_path))
