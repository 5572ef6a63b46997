"""Specs: how plugins describe what they provide, before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import attrs

from kayak.contracts import (
    CandidateGenerator,
    Executor,
    LateStore,
    LateTextEncoder,
    Stage2ReferenceOperator,
    Stage3VerifierOperator,
)
from kayak.errors import InvalidInputError, InvalidTypeError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")


def _check_name(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    names = value if isinstance(value, tuple) else (value,)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInputError(
                f"{attribute.name} {name!r} is no kind name; use lower-case letters, digits, '_' and '-', "
                "starting with a letter"
            )


def _check_callable(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise InvalidTypeError(f"{attribute.name} must be callable, got {type(value).__name__}")


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidTypeError(f"expected a sequence of strings, got the string {value!r}; use [{value!r}]")
    return tuple(value)


@attrs.frozen(kw_only=True)
class PluginSpec:
    """What every spec says.

    Attributes:
        name: the kind, for example "qdrant".
        factory: makes one instance; imports heavy packages inside its body, never at module level.
        summary: one line for listings.
        aliases: other names of the same kind.
        requirements: requirement strings of what the factory imports, for example "qdrant-client>=1.12"; checked
            by `kayak.doctor()` without importing anything.
    """

    name: str = attrs.field(validator=_check_name)
    factory: Callable[..., Any] = attrs.field(validator=_check_callable)
    summary: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    aliases: tuple[str, ...] = attrs.field(default=(), converter=_strings, validator=_check_name)
    requirements: tuple[str, ...] = attrs.field(default=(), converter=_strings)

    @property
    def names(self) -> tuple[str, ...]:
        """The kind and its aliases."""
        return (self.name, *self.aliases)


@attrs.frozen(kw_only=True)
class EncoderSpec(PluginSpec):
    """Describes an encoder kind; the factory returns a `LateTextEncoder`."""

    factory: Callable[..., LateTextEncoder] = attrs.field(validator=_check_callable)


@attrs.frozen(kw_only=True)
class StoreSpec(PluginSpec):
    """Describes a store kind; the factory returns an open `LateStore`."""

    factory: Callable[..., LateStore] = attrs.field(validator=_check_callable)


@attrs.frozen(kw_only=True)
class CandidateGeneratorSpec(PluginSpec):
    """Describes a candidate generator kind; the factory returns a `CandidateGenerator`."""

    factory: Callable[..., CandidateGenerator] = attrs.field(validator=_check_callable)


@attrs.frozen(kw_only=True)
class StageOperatorSpec(PluginSpec):
    """Describes an operator of stage 2 or 3.

    Attributes:
        stage: 2 for a reference operator, 3 for a verifier.
    """

    stage: Literal[2, 3] = attrs.field(validator=attrs.validators.in_((2, 3)))
    factory: Callable[..., Stage2ReferenceOperator | Stage3VerifierOperator] = attrs.field(validator=_check_callable)


@attrs.frozen(kw_only=True)
class ExecutorSpec(PluginSpec):
    """Describes an executor; the factory takes no arguments and returns an `Executor`.

    The factory must not raise where the executor cannot run here: `Executor.backend_info` says so.

    Attributes:
        preference: `open_text_retriever` chooses the available executor with the highest value. numpy_reference has
            0, so an executor that leaves this alone is used only where it is named.
    """

    factory: Callable[[], Executor] = attrs.field(validator=_check_callable)
    preference: int = -1
