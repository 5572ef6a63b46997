"""The documentation is true: its code runs, its figures hold, it is complete, and it builds without warnings."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kayak
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))
from markdown_blocks import PageError, blocks  # noqa: E402 - a module of the tests, beside this one
from markdown_runner import PageRunner  # noqa: E402

DOCS = ROOT / "docs"
RUNNER = Path(__file__).with_name("markdown_runner.py")
PAGES = sorted(page for page in DOCS.rglob("*.md") if "examples" not in page.relative_to(DOCS).parts)
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "kayak_core/README.md")]
PUBLIC_MODULES = ("kayak.typing", "kayak.errors", "kayak.testing")


def missing_store(page: Path) -> str | None:
    """Return the store kind that a page uses, if it is not installed."""
    if page.parent.name != "stores":
        return None
    kind = "lancedb" if page.stem == "index" else page.stem  # which the overview copies to
    return None if kind in kayak.available_store_kinds() else kind


def missing_model_package(page: Path) -> str | None:
    """Return the package without which a page's models cannot be made, if it is not installed."""
    needed = ("sentence_transformers", "kayak_colbert") if page.stem in ("colbert", "adapt-a-model") else ()
    return next((name for name in needed if importlib.util.find_spec(name) is None), None)


@pytest.fixture
def environment(page: Path) -> Iterator[dict[str, str]]:
    """Start the database that a page connects to by `DATABASE_URL`, if it does."""
    if "DATABASE_URL" not in page.read_text(encoding="utf-8"):
        yield dict(os.environ)
        return
    if kind := missing_store(page):
        pytest.skip(f"the store kind {kind!r} is not installed; `pip install kayak-{kind}` brings it")
    sys.path.insert(0, str(ROOT / "plugins" / "kayak-pgvector" / "tests"))
    from pg_server import NoServerError, postgres_url

    try:
        with postgres_url() as url:
            yield os.environ | {"DATABASE_URL": url}
    except NoServerError as error:
        pytest.skip(str(error))


def uses_console(page: Path) -> bool:
    return any(block.language == "console" for block in blocks(page))


@pytest.mark.parametrize("page", [*TOP, *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    if uses_console(page) and not shutil.which("kayak", path=str(Path(sys.executable).parent)):
        pytest.skip("the `kayak` command is missing beside this Python; `pip install './kayak_core[cli]'` brings it")
    if kind := missing_store(page):
        pytest.skip(f"the store kind {kind!r} is not installed; `pip install kayak-{kind}` brings it")
    if any("cranfield" in block.code for block in blocks(page) if block.language in ("python", "console")):
        for package in ("ir_measures", "matplotlib", "scipy"):
            pytest.importorskip(package, reason=f"{package} is not installed, and the page measures plans")
        (tmp_path / "cranfield").symlink_to(collections() / "cranfield")  # as if the reader had put it there
    if package := missing_model_package(page):
        pytest.skip(f"{package} is not installed; `pip install ./plugins/kayak-colbert` brings it")
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(page), str(DOCS)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("markdown", "complaint"),
    [
        ('```python\nprint(1)\n```\n```text title="Output"\n2\n```\n', "the page shows"),
        ("```python\nprint(1)\n```\n", "not shown"),
        ("```python\nprint(1)\n```\n```python\nprint(2)\n```\n", "not shown"),
        ('```text title="Output"\n1\n```\n', "printed nothing"),
        ("```text\nfree\n```\n", "needs title"),
        ("```ruby\nputs 1\n```\n", "not known"),
        ("```bash\npip install x\n```\n", "why the block is not run"),
        ('```python title="Needs a server"\nx = (\n```\n', "never closed"),
        ("```\nx\n```\n", "write the block as"),
        ("```python\nx = 1\n", "never closed"),
        ("```console\n$ echo one\ntwo\n```\n", "the page shows"),
        ("```console\n$ exit 3\n```\n", "exits 3"),
    ],
)
def test_the_runner_notices(markdown: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(markdown, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PageError, match=complaint):
        PageRunner(DOCS).run(page)


def test_blocks_share_names_files_and_ellipses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        '```jsonl title="rows.jsonl"\n{"id": "a"}\n```\n```python\nfrom pathlib import Path\n```\n'
        '```python\nprint(Path("rows.jsonl").read_text(), 0.125)\n```\n```text title="Output"\n{"id": "a"}\n 0.1...\n'
        '```\n```console\n$ cat \\\n  rows.jsonl\n{"id": "a"}\n$ echo done\ndone\n```\n',
        encoding="utf-8",
    )
    PageRunner(DOCS).run(page)


def test_every_block_is_run_except_for_known_reasons() -> None:
    """Installations are run by the newcomer tests; a server on the network that a page shows has no place here."""
    reasons = {block.title for page in [*TOP, *PAGES] for block in blocks(page) if block.title.startswith("Needs ")}
    assert reasons <= {
        "Needs a package index",
        "Needs Docker",
        "Needs a Qdrant server",
        "Needs a Weaviate server",
        "Needs Weaviate's embedded server",
    }


def test_reference_names_everything_public() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)) | set(re.findall(r"^ +- (\w+)$", text, re.MULTILINE))
    missing = [
        name
        for name in kayak.__all__
        if not name.startswith("__") and name not in named and f"kayak.{name}" not in named
    ]
    assert not missing, f"not in docs/reference: {', '.join(missing)}"
    assert not [module for module in PUBLIC_MODULES if module not in named]


def test_navigation_lists_every_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w./-]+\.md", navigation))
    assert listed == {page.relative_to(DOCS).as_posix() for page in PAGES}


def collections() -> Path:
    folder = Path(os.environ.get("KAYAK_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "cranfield" / "corpus.jsonl").is_file():
        pytest.skip(
            f"the test collection Cranfield is missing in {folder}; set KAYAK_TEST_DATA to the folder that has it"
        )
    return folder


def figures_of(text: str) -> list[list[float]]:
    """Return the numbers of each row of a Markdown table."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    return [[float(number) for number in re.findall(r"[\d.]+", row.replace(",", ""))] for row in rows]


def test_candidate_recall_figures_hold() -> None:
    page = (DOCS / "how-to" / "tune-candidate-k.md").read_text(encoding="utf-8")
    shown = figures_of(page[page.index("<!-- candidate recall") :])
    script = DOCS / "figures" / "candidate_recall.py"
    done = subprocess.run(
        [sys.executable, str(script), str(collections() / "cranfield")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = figures_of(done.stdout)
    assert len(shown) == len(measured) == 7
    for row, expected in zip(shown, measured, strict=True):
        assert row == pytest.approx(expected, rel=0.01, abs=0.011)


def test_lexical_quality_figures_hold(tmp_path: Path) -> None:
    for module in ("bm25s", "Stemmer", "ir_measures"):
        pytest.importorskip(module, reason=f"{module} is not installed, and the benchmark needs it")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cranfield").symlink_to(collections() / "cranfield")
    page = (DOCS / "quality.md").read_text(encoding="utf-8")
    command = [sys.executable, str(ROOT / "benchmarks" / "lexical_quality.py")]
    command += ["--data", str(tmp_path / "data"), "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = re.findall(r"^cranfield +(BM25|hashing).*?((?: +0\.\d+){4})", done.stdout, re.MULTILINE)
    assert len(measured) == 2
    for system, figures in measured:
        shown = re.search(rf"^\| Cranfield \|.*\| {system} \|(.*)$", page, re.MULTILINE)
        assert shown is not None
        assert [float(x) for x in re.findall(r"0\.\d+", shown[1])] == pytest.approx(
            [float(x) for x in figures.split()], abs=0.0015
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_site_builds_strictly(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "search" / "search_index.json").is_file()


def test_included_files_are_on_the_page(site: Path) -> None:
    page = (site / "how-to" / "write-a-store" / "index.html").read_text("utf-8")
    assert all(name in page for name in ("Sqlite3Store", "StoreConformance", "entry-points"))
    assert not [path for path in site.rglob("*.html") if "--8" in path.read_text("utf-8")]


def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(
        r"""<(?:script|img|iframe)[^>]*?\ssrc=["']?(?:https?:)?//|<link[^>]*?rel=["']?stylesheet[^>]*?//"""
    )
    offenders = [str(page.relative_to(site)) for page in site.rglob("*.html") if loads.search(page.read_text("utf-8"))]
    assert not offenders
