"""Plans as they are named on the command line of `kayak compare` and `kayak eval`."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from kayak.contracts import SearchPlan
from kayak.searching import document_proxy_search_plan, exact_full_scan_search_plan, store_native_search_plan

FORMS = "exact, proxy:CANDIDATE_K[:DOCUMENT_BUDGET[:QUERY_BUDGET]] or native:CANDIDATE_K"
_WINDOWS = (5, 20, 80)


def named_plans(names: Sequence[str], k: int) -> dict[str, SearchPlan]:
    """Make plans of names such as "exact", "proxy:200:64" and "native:100".

    Raises:
        typer.BadParameter: a name of another form, or one that is given twice.
    """
    if len(set(names)) != len(names):
        raise typer.BadParameter(f"a plan is given twice: {', '.join(names)}")
    return {name: parse_plan(name, k) for name in names}


def default_plan_names(k: int) -> list[str]:
    """Return the plans that `kayak compare` takes unless told otherwise: exact, and windows of 5, 20 and 80 k."""
    return ["exact", *(f"proxy:{factor * k}" for factor in _WINDOWS)]


def parse_plan(name: str, k: int) -> SearchPlan:
    """Make the plan of one name.

    Raises:
        typer.BadParameter: a name of another form.
    """
    kind, *numbers = name.split(":")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise typer.BadParameter(f"--plan {name!r} holds something else than numbers; expected {FORMS}")
    sizes = [int(number) for number in numbers]
    if kind == "exact" and not sizes:
        return exact_full_scan_search_plan(k)
    if kind == "native" and len(sizes) == 1:
        return store_native_search_plan(k, sizes[0])
    if kind == "proxy" and 1 <= len(sizes) <= 3:
        candidate_k, document_budget, query_budget = (*sizes, 0, 0)[:3]
        return document_proxy_search_plan(
            k, candidate_k, document_vector_budget=document_budget, query_vector_budget=query_budget
        )
    raise typer.BadParameter(f"--plan {name!r} is not known; expected {FORMS}")
