"""`ConformanceSuite`: what the five suites share, and the rule that nobody weakens them unseen."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import HealthCheck, settings

from kayak.errors import InvalidInputError

_PACKAGE = __name__.rpartition(".")[0]


class ConformanceSuite:
    """Base of the conformance suites.

    A subclass outside this package that overrides one of their tests must mark the override with
    `@pytest.mark.xfail(reason="...")`; anything else is refused when the class is defined.

    Attributes:
        examples: how many examples each Hypothesis test tries; raise it for a thorough run.
    """

    examples: ClassVar[int] = 30

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in sorted(suite_tests(cls)):
            owner = next(base for base in cls.__mro__ if name in vars(base))
            if not _is_suite(owner) and not _expected_to_fail(vars(owner)[name]):
                raise InvalidInputError(
                    f"{owner.__qualname__}.{name} replaces a conformance test without saying so. Mark the override "
                    'with @pytest.mark.xfail(reason="...") if the promise cannot be kept, declare the missing '
                    "capability, or give your own test another name"
                )

    def settings(self, *, examples: int | None = None) -> settings:
        """Return the Hypothesis settings of this suite: `examples` tries, without a time limit for each."""
        return settings(
            max_examples=examples or self.examples,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        )


def suite_tests(cls: type) -> frozenset[str]:
    """Return the names of the conformance tests that a class inherits or is."""
    return frozenset(name for base in cls.__mro__ if _is_suite(base) for name in vars(base) if name.startswith("test"))


def _is_suite(cls: type) -> bool:
    return cls.__module__ == _PACKAGE or cls.__module__.startswith(f"{_PACKAGE}.")


def _expected_to_fail(override: object) -> bool:
    return any(mark.name == "xfail" and bool(mark.kwargs.get("reason")) for mark in getattr(override, "pytestmark", ()))
