"""The console script as a process: exit codes, closed and broken streams, colours, signals, missing packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kayak
import pytest

SOURCE = str(Path(kayak.__file__).parents[1])
ENTRY = "from kayak.cli import main; main()"


def command(*arguments: str, before: str = "") -> list[str]:
    return [sys.executable, "-W", "error::ResourceWarning", "-c", before + ENTRY, *arguments]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": SOURCE, **variables}


def run(
    *arguments: str, cwd: Path, before: str = "", stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, before=before),
        cwd=cwd,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    rows = [{"id": f"doc-{i}", "text": f"lift of wing number {i} – é"} for i in range(300)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = run("index", "corpus.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_index_then_search(indexed: Path) -> None:
    done = run("search", "wing number 7", "-k", "1", cwd=indexed)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "doc-7" in done.stdout
    assert "\x1b" not in done.stdout


def test_errors_leave_with_1_and_one_line(indexed: Path) -> None:
    done = run("search", "x", "--path", "nowhere", cwd=indexed)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert run("search", cwd=indexed).returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_colours_need_a_terminal_and_no_no_color(indexed: Path) -> None:
    import pty

    def on_a_terminal(**variables: str) -> str:
        parent, child = pty.openpty()
        process = subprocess.Popen(
            command("search", "wing", "-k", "1"),
            cwd=indexed,
            env=environment(TERM="xterm-256color", **variables),
            stdin=subprocess.DEVNULL,
            stdout=child,
            stderr=subprocess.DEVNULL,
        )
        os.close(child)
        said = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # Linux reports the end of a terminal as an input/output error
                break
            if not part:
                break
            said += part
        os.close(parent)
        assert process.wait() == 0
        return said.decode()

    assert "\x1b[1m" in on_a_terminal()
    assert "\x1b[3" not in on_a_terminal(NO_COLOR="1")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_a_reader_that_goes_away_is_no_error(indexed: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        command("search", "wing", "-k", "300", "--json"),
        cwd=indexed,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    _, said = process.communicate()
    assert process.returncode == 1
    assert said == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(indexed: Path, closed: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command("search", "wing", "-k", "1")],
        cwd=indexed,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert ("doc-" in done.stdout) == (">&-" not in closed.split())
    refused = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command("index", "-")],
        cwd=indexed,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr == "error: stdin is closed; give a file or a folder instead of '-'\n"


def test_a_narrow_encoding_gets_escapes(indexed: Path) -> None:
    done = run("search", "wing", "-k", "1", cwd=indexed, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "\\xe9" in done.stdout
    answer = json.loads(run("search", "wing", "-k", "1", "--json", cwd=indexed, PYTHONIOENCODING="ascii").stdout)
    assert answer["hits"][0]["text"].endswith("– é")


def test_ctrl_c_leaves_with_130_and_keeps_batches(indexed: Path, tmp_path: Path) -> None:
    before = """
import os, signal, kayak
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us behind `&`
class Encoder(kayak.HashingEncoder):
    def encode_document_batch(self, texts):
        if "number 2 " in texts[0]:
            os.kill(os.getpid(), signal.SIGINT)
        return super().encode_document_batch(texts)
kayak.register_encoder("interrupting", Encoder)
"""
    source = str(indexed / "corpus.jsonl")
    arguments = ["index", source, "--encoder", "interrupting", "--batch-size", "1"]
    done = run(*arguments, cwd=tmp_path, before=before)
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted: 2 documents stored in ")
    assert "Traceback" not in done.stderr
    with kayak.open_store("kayak", path=tmp_path / "kayak-index") as store:
        assert store.load_index().doc_ids == ("doc-0", "doc-1")
    again = run("index", source, cwd=tmp_path)
    assert again.stderr.startswith("298 documents stored, 2 unchanged in ")


def test_ctrl_c_elsewhere_leaves_with_130(indexed: Path) -> None:
    before = """
import os, signal, kayak
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us behind `&`
class Encoder(kayak.HashingEncoder):
    def encode_query(self, text):
        os.kill(os.getpid(), signal.SIGINT)
        return super().encode_query(text)
kayak.register_encoder("interrupting", Encoder)
"""
    done = run("search", "wing", "--encoder", "interrupting", cwd=indexed, before=before)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("package", ["typer", "rich", "tqdm"])
def test_without_the_extra_one_sentence_says_what_to_install(package: str, tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path, before=f"import sys; sys.modules[{package!r}] = None\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"The kayak command needs {package}: install with `pip install 'kayak-core[cli]'`.\n"


def test_importing_the_command_is_light() -> None:
    code = "import sys, kayak.cli; print([m for m in ('typer', 'rich', 'tqdm', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
