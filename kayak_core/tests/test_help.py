"""`kayak.help`: every public name has a page, and pages come from the live objects."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import kayak
import kayak.typing
import numpy as np
import pytest
from kayak.environment import help_pages, help_text, signatures

TOPICS = ["search", "session", "typing", "stores", "encoders", "backends", "mojo", "plans", "plugins"]


@pytest.mark.parametrize("name", kayak.__all__)
def test_every_public_name_has_a_page(name: str) -> None:
    value = getattr(kayak, name)
    page = kayak.help(name)
    assert name in page
    if inspect.isfunction(value) or isinstance(value, type):
        assert value.__doc__, f"{name} has no docstring"
        assert value.__doc__.splitlines()[0] in page
        assert kayak.help(value) == help_text._public_page(name)
    if inspect.isfunction(value):
        for parameter in inspect.signature(value).parameters:
            assert parameter in page


@pytest.mark.parametrize("name", kayak.__all__)
def test_every_public_name_stands_in_the_overview(name: str) -> None:
    words = kayak.help().replace(",", " ").split()
    assert name in words or name == "__version__"


@pytest.mark.parametrize("name", TOPICS)
def test_topics(name: str) -> None:
    page = kayak.help(name)
    assert len(page.splitlines()) > 3
    assert f"'{name}'" in kayak.help()


@pytest.mark.parametrize("name", kayak.typing.__all__)
def test_typing_aliases_show_their_definition_and_meaning(name: str) -> None:
    page = kayak.help(name)
    assert f"kayak.typing.{name}" in page
    assert len(page.splitlines()) >= 3
    assert name in kayak.help("typing")


def test_an_alias_is_shown_as_written() -> None:
    assert kayak.help("TokenMatrixInput").splitlines() == [
        "kayak.typing.TokenMatrixInput = ArrayInput",
        "",
        "    One matrix of token vectors, shape (token vectors ≥ 1, dimension ≥ 1), finite numbers.",
    ]
    assert kayak.help("kayak.typing.TokenMatrixInput") == kayak.help("TokenMatrixInput")
    assert "kayak.typing.DocIdsInput = Sequence[str]" in kayak.help(kayak.typing.DocIdsInput)


def test_methods_are_found_by_name_and_by_qualified_name() -> None:
    page = kayak.help("LateTextRetriever.search_text")
    assert page.startswith("LateTextRetriever.search_text(\n    text: str,\n    *,\n    k: int,\n")
    assert ") -> tuple[SearchHit, ...]" in page
    assert "EncoderMismatchError: the store's documents" in page
    both = kayak.help("search_text")
    assert page in both
    assert "LateTextSearchSession.search_text" in both
    assert kayak.help(kayak.LateTextRetriever.search_text) == page


def test_properties_and_constants() -> None:
    assert kayak.help("LateQuery.shape") == "LateQuery.shape\n\n    (token vectors, dimension)."
    assert kayak.help(kayak.LateQuery.shape) == kayak.help("LateQuery.shape")
    assert kayak.help("NUMPY_REFERENCE_BACKEND").startswith("NUMPY_REFERENCE_BACKEND = 'numpy_reference'")


def test_a_class_lists_its_members() -> None:
    page = kayak.help(kayak.LateTextRetriever)
    assert "class LateTextRetriever(" in page
    for name, value in vars(kayak.LateTextRetriever).items():
        if inspect.isfunction(value) and not name.startswith("_"):
            assert f"{name}()" in page
    assert "exception StoreBusyError  (a StoreError, TimeoutError)" in kayak.help(kayak.StoreBusyError)
    assert kayak.help(kayak.LateStore).startswith("class LateStore\n")


def test_kinds() -> None:
    page = kayak.help("hashing")
    assert page.startswith("encoder kind 'hashing': ")
    assert "Provided by distribution 'kayak-core'" in page
    assert "kayak.open_encoder(\n    'hashing',\n    dim: int = 128," in page
    assert "store kind 'kayak' (also 'directory')" in kayak.help("directory")
    assert "kayak.open_stage_operator('clause_text'" in kayak.help("clause_text")
    assert "Use it with backend='numpy_reference'." in kayak.help("numpy_reference")


def test_a_first_party_kind_that_is_not_installed_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(help_text, "specs_of", lambda sort: ())
    assert kayak.help("qdrant") == "Kind 'qdrant' is not installed; `pip install kayak-qdrant` provides it."


def test_a_registered_kind_shows_its_requirements_and_signature() -> None:
    def open_shelf(*, planks: int = 3) -> kayak.LateStore:
        """Open a shelf."""
        return kayak.MemoryLateStore()

    spec = kayak.StoreSpec(name="shelf", factory=open_shelf, summary="planks", requirements=("wood>=2",))
    kayak.register_store("help-shelf", open_shelf)
    page = kayak.help("help-shelf")
    assert "store kind 'help-shelf': Open a shelf." in page
    assert "kayak.open_store('help-shelf', planks: int = 3)\n\n    Open a shelf." in page
    registered = next(p.spec for p in kayak.plugins.specs_of("store") if p.spec.name == "help-shelf")
    assert kayak.help(registered) == page
    assert "class StoreSpec(" in kayak.help(spec)


def test_any_object() -> None:
    assert kayak.help(3).startswith("class int")
    assert kayak.help(kayak.query([[1.0]])).startswith("class LateQuery(")
    assert kayak.help(np.zeros(3)).startswith("class ndarray")
    assert "module kayak.errors" in kayak.help(kayak.errors)
    assert kayak.help("errors") == kayak.help(kayak.errors)
    assert kayak.help(len).startswith("len(obj, /)")
    assert kayak.help("kayak_stores").startswith("KayakSpecs.kayak_stores() -> Iterable[StoreSpec]")


def test_a_public_module_that_cannot_be_imported_still_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_testing(name: str) -> object:
        if name == "kayak.testing":
            raise ImportError("No module named 'pytest'")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without_testing)
    page = kayak.help("testing")
    assert page.startswith("module kayak.testing\n\nConformance suites")
    assert page.endswith("It cannot be imported here: No module named 'pytest'")


@pytest.mark.parametrize(
    ("topic", "near"),
    [
        ("serach_text", "'search_text'"),
        ("LateRetriever", "'LateTextRetriever'"),
        ("latequery", "'LateQuery'"),
        ("plan", "'plans'"),
        ("LateTextRetriever.serch_text", "'LateTextRetriever.search_text'"),
    ],
)
def test_unknown_topics_suggest_near_ones(topic: str, near: str) -> None:
    with pytest.raises(kayak.InvalidInputError) as caught:
        kayak.help(topic)
    assert str(caught.value).startswith(f"no help for {topic!r}: did you mean ")
    assert near in str(caught.value)
    assert str(caught.value).endswith("kayak.help() lists every topic and name")


def test_a_topic_like_nothing_gets_no_suggestion() -> None:
    with pytest.raises(kayak.InvalidInputError, match=r"^no help for '§§': kayak.help\(\) lists every topic and name$"):
        kayak.help("§§")


def test_help_imports_nothing_optional() -> None:
    code = (
        "import sys, kayak; kayak.help(); kayak.help('stores'); kayak.doctor(); "
        "print([m for m in ('typer', 'rich', 'tqdm', 'pytest', 'hypothesis', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_signatures_show_kinds_of_parameters() -> None:
    def function(a, /, b, *rest, c=1, **others):
        """Nothing."""

    def positional(a, /):
        """Nothing."""

    def marked(*, here: int | None = None, there: object = object()) -> type: ...

    assert signatures.signature_of("function", function) == "function(a, /, b, *rest, c=1, **others)"
    assert signatures.signature_of("positional", positional) == "positional(a, /)"
    assert signatures.signature_of("marked", marked) == (
        "marked(*, here: int | None = None, there: object = ...) -> type"
    )
    assert signatures.signature_of("dict.fromkeys", type("Odd", (), {"__call__": 3})) == "dict.fromkeys()"
    assert signatures.signature_of("nothing", 3) == "nothing"  # type: ignore[arg-type]


def test_annotations_that_are_objects() -> None:
    namespace: dict[str, object] = {}
    code = compile(
        "from typing import Union\ndef f(a: int, b: Union[int, str], c: list[int]) -> str: ...",
        "annotated",
        "exec",
        dont_inherit=True,
    )
    exec(code, namespace)
    assert signatures.signature_of("f", namespace["f"]) == "f(a: int, b: Union[int, str], c: list[int]) -> str"


def test_a_module_without_source_has_no_literals() -> None:
    assert signatures.literal_docs(sys) == {}
    assert signatures.assignments(sys) == {}
    assert signatures.module_doc("sys") == ""
    assert help_pages.module_page("sys", sys).startswith("module sys")
