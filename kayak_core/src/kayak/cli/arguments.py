"""From command-line arguments to open retrievers, filters and plans."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import typer

from kayak.contracts import SearchPlan
from kayak.errors import StorePathError
from kayak.plugins import specs_of
from kayak.retrieval import LateTextRetriever, open_text_retriever
from kayak.searching import (
    clause_text_stage3_verifier_operator,
    document_proxy_search_plan,
    exact_full_scan_search_plan,
    store_native_search_plan,
)

DEFAULT_STORE = "kayak"
DEFAULT_PATH = "kayak-index"
DEFAULT_ENCODER = "hashing"
_MIN_WINDOW = 100


@attrs.frozen
class Corpus:
    """Where documents are kept and what encodes them, as named on the command line.

    Attributes:
        store: the store kind.
        path: its path, or None.
        store_arguments: further "key=value" arguments of the store.
        encoder: the encoder kind.
        encoder_arguments: "key=value" arguments of the encoder.
    """

    store: str = DEFAULT_STORE
    path: str | None = None
    store_arguments: Sequence[str] = ()
    encoder: str = DEFAULT_ENCODER
    encoder_arguments: Sequence[str] = ()

    def open(self, *, create: bool) -> LateTextRetriever:
        """Open the retriever.

        Args:
            create: whether a store that is not there is made; otherwise it is an error.

        Raises:
            typer.BadParameter: a malformed "key=value" argument.
            KayakError: store or encoder cannot be opened.
        """
        arguments = key_values(self.store_arguments, "--store-arg")
        path = self.path
        if path is not None and "path" in arguments:
            raise typer.BadParameter("give the path once: --path or --store-arg path=…")
        if path is None and self.store in _default_path_kinds() and "path" not in arguments:
            path = DEFAULT_PATH
        if path is not None:
            arguments["path"] = path
        if not create and "create" in _parameters("store", self.store):
            arguments.setdefault("create", False)
            self._check_there(arguments.get("path"))
        return open_text_retriever(
            encoder=self.encoder,
            store=self.store,
            encoder_kwargs=key_values(self.encoder_arguments, "--encoder-arg"),
            store_kwargs=arguments,
        )

    def _check_there(self, path: object) -> None:
        if isinstance(path, str) and not Path(path).exists():
            raise StorePathError(
                f"there is no store at {path!r}; make one with `kayak index SOURCE --path {path}`, or name another "
                "with --path"
            )


def key_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Parse "key=value" arguments. A value that is JSON is read as such; anything else is a string.

    Raises:
        typer.BadParameter: no "=", an empty or a repeated key.
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"{option} takes key=value, got {pair!r}")
        if key in parsed:
            raise typer.BadParameter(f"{option} {key} is given twice")
        parsed[key] = _value(value)
    return parsed


def where_filter(text: str | None) -> Mapping[str, Any] | None:
    """Parse a filter given as JSON.

    Raises:
        typer.BadParameter: no JSON object.
    """
    if text is None:
        return None
    example = """for example --where '{"topic": "wings"}'"""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--where is no JSON ({error}); {example}") from error
    if not isinstance(parsed, dict):
        raise typer.BadParameter(f"--where must be a JSON object, got {text!r:.60}; {example}")
    return parsed


def search_plan(name: str, k: int, candidate_k: int | None, verify: str | None) -> SearchPlan:
    """Make the plan that --plan, -k, --candidate-k and --verify describe.

    The window holds 10 k documents, at least 100, unless `candidate_k` is given; an exact plan without a verifier needs
    none beyond k.
    """
    verifier = clause_text_stage3_verifier_operator() if verify == "clause_text" else None
    wide = max(10 * k, _MIN_WINDOW)
    if name == "exact":
        default = k if verifier is None else wide
        return exact_full_scan_search_plan(k, candidate_k=candidate_k or default, stage3_verifier=verifier)
    if name == "proxy":
        return document_proxy_search_plan(k, candidate_k or wide, stage3_verifier=verifier)
    return store_native_search_plan(k, candidate_k or wide, stage3_verifier=verifier)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _parameters(sort: str, kind: str) -> frozenset[str]:
    for provided in specs_of(sort):
        if kind in provided.spec.names:
            return frozenset(inspect.signature(provided.spec.factory).parameters)
    return frozenset()


def _default_path_kinds() -> frozenset[str]:
    return frozenset(
        name for provided in specs_of("store") if provided.spec.name == DEFAULT_STORE for name in provided.spec.names
    )
