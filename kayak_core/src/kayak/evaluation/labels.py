"""Short names of plans."""

from __future__ import annotations

import attrs

from kayak.contracts import SearchPlan


def describe_plan(plan: SearchPlan) -> str:
    """Return one line about a plan: its stages, their parameters that differ from the default, and its sizes."""
    stages = [describe_stage(plan.candidate_generator), describe_stage(plan.stage2_reference_operator)]
    if not plan.stage3_verifier.is_noop:
        stages.append(describe_stage(plan.stage3_verifier))
    return f"{' → '.join(stages)}, candidate_k {plan.candidate_k}, final_k {plan.final_k}"


def short_label(plan: SearchPlan) -> str:
    """Return a name for tables and plots: the generator, and what distinguishes it."""
    generator = describe_stage(plan.candidate_generator)
    verifier = "" if plan.stage3_verifier.is_noop else f" + {plan.stage3_verifier.kind}"
    if plan.candidate_generator.family == "exact" and plan.candidate_k == plan.final_k:
        return generator + verifier
    return f"{generator} {plan.candidate_k}{verifier}"


def describe_stage(stage: object) -> str:
    """Return a stage's kind, with the parameters that differ from their defaults."""
    kind = str(getattr(stage, "kind", type(stage).__name__))
    sort = type(stage)
    if not attrs.has(sort):
        return kind
    changed = [
        f"{field.name}={getattr(stage, field.name)!r}"
        for field in attrs.fields(sort)
        if field.init and getattr(stage, field.name) != field.default
    ]
    return f"{kind}({', '.join(changed)})" if changed else kind
