"""The topics of `kayak.help`: each is a function whose docstring introduces it, and that yields live facts."""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Callable, Iterator

import kayak
from kayak import _HOME_OF
from kayak.environment.backends import backend_info, mojo_bridge_info
from kayak.environment.help_pages import listing, members_of, module_page, object_page
from kayak.environment.signatures import doc_of, literal_docs, signature_of, summary_of
from kayak.hookspecs import KayakSpecs
from kayak.plugins import list_plugins, specs_of
from kayak.plugins.manager import Provided

OPENERS = {
    "encoder": "kayak.open_encoder",
    "store": "kayak.open_store",
    "candidate generator": "kayak.open_candidate_generator",
    "stage operator": "kayak.open_stage_operator",
}
"""Which public function opens a kind of each sort that is opened by name."""


def search() -> Iterator[str]:
    """Search: from a query to a ranking.

    Texts: `kayak.open_text_retriever(...)`, then `retriever.search_text(text, k=10)`. Vectors: `kayak.search(query,
    index, k=10)`. In stages, with a profile of each: `kayak.search_with_plan(query, index, plan)`; see "plans".
    """
    yield names_like("search|maxsim|retriever|scores|explain")


def session() -> Iterator[str]:
    """Sessions: many searches of a slice that is loaded once.

    `retriever.session(where=..., doc_ids=...)` loads the slice; the object that it returns searches it from any
    thread, and does not see later changes of the store.
    """
    yield object_page("LateTextSearchSession", kayak.LateTextSearchSession)


def typing() -> Iterator[str]:
    """Typing: public aliases for what your own functions take and return."""
    import kayak.typing

    yield module_page("kayak.typing", kayak.typing)


def stores() -> Iterator[str]:
    """Stores: keep token vectors, texts and metadata, and load them as indexes.

    Open one with `kayak.open_store(kind, ...)`, or name its kind in `kayak.open_text_retriever`; `kayak.help(kind)`
    shows its arguments.
    """
    yield kinds("store")
    yield names_like("store")


def encoders() -> Iterator[str]:
    """Encoders: turn texts into token vectors.

    Open one with `kayak.open_encoder(kind, ...)`, or name its kind in `kayak.open_text_retriever`; `kayak.help(kind)`
    shows its arguments.
    """
    yield kinds("encoder")
    yield names_like("encod")


def backends() -> Iterator[str]:
    """Backends: what computes exact MaxSim.

    Functions take `backend=`, and use nothing else in its place; only `kayak.open_text_retriever` chooses by itself,
    and says what it chose.
    """
    yield kinds("executor")
    yield names_like("backend|executor")


def mojo() -> Iterator[str]:
    """Mojo: exact MaxSim in compiled kernels, `backend=kayak.MOJO_EXACT_CPU_BACKEND`."""
    yield str(mojo_bridge_info())
    yield object_page("mojo_bridge_info", kayak.mojo_bridge_info)


def plans() -> Iterator[str]:
    """Plans: searches in stages.

    Stage 1 chooses candidates, stage 2 gives them reference scores, stage 3 may verify them by other evidence. A plan
    is a description; `kayak.search_with_plan` runs it and reports what each stage did.
    """
    yield kinds("candidate generator")
    yield kinds("stage operator")
    yield names_like("plan(?!a)|generator|operator|candidate|stage|verifier|semantics")


def evaluation() -> Iterator[str]:
    """Evaluation: what a plan costs and what it loses.

    `kayak.evaluate(corpus, queries, qrels, plan=plan)` measures one plan, `kayak.compare_plans(corpus, queries, plans)`
    several side by side, and `kayak.tune_plan(corpus, queries, recall_target=0.95)` finds the cheapest that is good
    enough.
    """
    yield names_like("evaluat|compare|comparison|tun|read_|write_|scan_?rates|dataset|significance")


def plugins() -> Iterator[str]:
    """Plugins: separately installed packages that provide encoders, stores, generators, operators and executors.

    Kayak finds them by their entry points. `KAYAK_PLUGINS=a,b` allows only these, `KAYAK_DISABLED_PLUGINS=a` blocks
    some; `kayak.list_plugins()` shows what is there and what is broken.
    """
    rows = ((f"{p.name} ({p.distribution})", p.error or ", ".join(p.provides)) for p in list_plugins())
    yield f"Installed:\n{listing(rows)}"
    hooks = ((f"{hook.name}()", summary_of(hook.value)) for hook in members_of(KayakSpecs))
    yield f"Hooks:\n{listing(hooks)}"
    yield names_like("plugin|spec$|register|hookimpl|kinds")


TOPICS: dict[str, Callable[[], Iterator[str]]] = {
    topic.__name__: topic
    for topic in (search, session, typing, stores, encoders, backends, mojo, plans, evaluation, plugins)
}
"""The topics by name."""


def names_like(pattern: str) -> str:
    """Return a line for every public name that matches a pattern, whatever its case."""
    found = [name for name in kayak.__all__ if re.search(pattern, name, re.IGNORECASE)]
    return f"Names:\n{listing((name, public_summary(name)) for name in found)}"


def public_summary(name: str) -> str:
    """Return one line about a public name of `kayak`."""
    documented = literal_docs(importlib.import_module(_HOME_OF[name])).get(name) if name in _HOME_OF else None
    return documented.partition("\n")[0] if documented else summary_of(getattr(kayak, name))


def kinds(sort: str) -> str:
    """Return a line for every registered kind of one sort."""
    rows = []
    for provided in specs_of(sort):
        spec = provided.spec
        also = f" (also {', '.join(spec.aliases)})" if spec.aliases else ""
        rows.append((f"{spec.name!r}{also}", spec.summary or summary_of(spec.factory)))
    return f"Kinds of {sort}s:\n{listing(rows)}"


def kind_page(sort: str, provided: Provided) -> str:
    """Return the page of one registered kind: who provides it, how it is opened, what its factory says."""
    spec = provided.spec
    also = f" (also {', '.join(repr(alias) for alias in spec.aliases)})" if spec.aliases else ""
    lines = [f"{sort} kind {spec.name!r}{also}: {spec.summary or summary_of(spec.factory)}"]
    lines.append(f"Provided by {provided.source}.")
    if spec.requirements:
        lines.append(f"Needs {', '.join(spec.requirements)}.")
    opener = OPENERS.get(sort)
    if opener is None:
        return "\n".join([*lines, f"Use it with backend={spec.name!r}. {backend_info(spec.name).availability_reason}"])
    call = signature_of(opener, spec.factory, first=repr(spec.name))
    return "\n\n".join(["\n".join(lines), call, textwrap.indent(doc_of(spec.factory), "    ")]).rstrip()
