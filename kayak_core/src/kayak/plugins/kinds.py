"""The public functions that list, open and register encoders, stores, generators, operators and executors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kayak.contracts import (
    CandidateGenerator,
    Executor,
    LateStore,
    LateTextEncoder,
    Stage2ReferenceOperator,
    Stage3VerifierOperator,
)
from kayak.errors import BackendUnavailableError
from kayak.plugins.manager import PluginManager, Provided
from kayak.plugins.registry import KindRegistry
from kayak.specs import (
    CandidateGeneratorSpec,
    EncoderSpec,
    ExecutorSpec,
    StageOperatorSpec,
    StoreSpec,
)

_encoders = KindRegistry[EncoderSpec](
    "encoder", "open_encoder", PluginManager.encoders, lambda name, make: EncoderSpec(name=name, factory=make)
)
_stores = KindRegistry[StoreSpec](
    "store", "open_store", PluginManager.stores, lambda name, make: StoreSpec(name=name, factory=make)
)
_generators = KindRegistry[CandidateGeneratorSpec](
    "candidate generator",
    "open_candidate_generator",
    PluginManager.candidate_generators,
    lambda name, make: CandidateGeneratorSpec(name=name, factory=make),
)
_operators = KindRegistry[StageOperatorSpec](
    "stage operator",
    "open_stage_operator",
    PluginManager.stage_operators,
    lambda name, make: StageOperatorSpec(name=name, factory=make, stage=_stage_of(make)),
)
_executors = KindRegistry[ExecutorSpec](
    "backend",
    "backend",
    PluginManager.executors,
    lambda name, make: ExecutorSpec(name=name, factory=make),
)
_running: dict[int, tuple[ExecutorSpec, Executor]] = {}
_running_lock = threading.Lock()


def _stage_of(factory: Callable[..., Any]) -> Any:
    return 3 if isinstance(factory, type) and issubclass(factory, Stage3VerifierOperator) else 2


def open_encoder(kind: str, /, **kwargs: Any) -> LateTextEncoder:
    """Open an encoder of a registered kind.

    Args:
        kind: for example "hashing", "callable" or "colbert"; see `available_encoder_kinds()`.
        **kwargs: the kind's own arguments; `kayak.help(kind)` shows them.

    Raises:
        UnknownKindError: nothing provides the kind; the message says what to install where we know.
        InvalidTypeError: arguments that the kind does not take.
        MissingDependencyError: a package that it needs is not installed.
        PluginError: the plugin that provides it is broken.
    """
    encoder: LateTextEncoder = _encoders.open(kind, kwargs)
    return encoder


def register_encoder(kind: str, factory: Callable[..., LateTextEncoder], *, replace: bool = False) -> None:
    """Register an encoder factory under a kind name, for this process.

    Raises:
        DuplicateKindError: the name is taken and `replace` is False.
        InvalidInputError: the name is malformed.
        InvalidTypeError: the factory is not callable.
    """
    _encoders.register(kind, factory, replace=replace)


def available_encoder_kinds() -> tuple[str, ...]:
    """Return the encoder kinds that are installed or registered, sorted. Imports no model package."""
    return _encoders.kinds()


def open_store(kind: str, /, **kwargs: Any) -> LateStore:
    """Open a store of a registered kind.

    Args:
        kind: for example "kayak" (a folder), "memory" or "qdrant"; see `available_store_kinds()`.
        **kwargs: the kind's own arguments; `kayak.help(kind)` shows them.

    Raises:
        UnknownKindError: nothing provides the kind; the message says what to install where we know.
        InvalidTypeError: arguments that the kind does not take.
        MissingDependencyError: a package that it needs is not installed.
        PluginError: the plugin that provides it is broken.
        StoreError: the store cannot be opened.
    """
    store: LateStore = _stores.open(kind, kwargs)
    return store


def register_store(kind: str, factory: Callable[..., LateStore], *, replace: bool = False) -> None:
    """Register a store factory under a kind name, for this process.

    Raises:
        DuplicateKindError: the name is taken and `replace` is False.
        InvalidInputError: the name is malformed.
        InvalidTypeError: the factory is not callable.
    """
    _stores.register(kind, factory, replace=replace)


def available_store_kinds() -> tuple[str, ...]:
    """Return the store kinds that are installed or registered, sorted. Imports no database client."""
    return _stores.kinds()


def open_candidate_generator(kind: str, /, **kwargs: Any) -> CandidateGenerator:
    """Make a candidate generator of a registered kind, for example "document_proxy".

    Raises:
        UnknownKindError, InvalidTypeError, MissingDependencyError, PluginError: as `open_store`.
    """
    generator: CandidateGenerator = _generators.open(kind, kwargs)
    return generator


def register_candidate_generator(
    kind: str, factory: Callable[..., CandidateGenerator], *, replace: bool = False
) -> None:
    """Register a candidate generator factory under a kind name, for this process; see `register_store`."""
    _generators.register(kind, factory, replace=replace)


def available_candidate_generator_kinds() -> tuple[str, ...]:
    """Return the candidate generator kinds that are installed or registered, sorted."""
    return _generators.kinds()


def open_stage_operator(kind: str, /, **kwargs: Any) -> Stage2ReferenceOperator | Stage3VerifierOperator:
    """Make an operator of stage 2 or 3 of a registered kind, for example "clause_text".

    Raises:
        UnknownKindError, InvalidTypeError, MissingDependencyError, PluginError: as `open_store`.
    """
    operator: Stage2ReferenceOperator | Stage3VerifierOperator = _operators.open(kind, kwargs)
    return operator


def register_stage_operator(
    kind: str,
    factory: Callable[..., Stage2ReferenceOperator | Stage3VerifierOperator],
    *,
    replace: bool = False,
) -> None:
    """Register an operator factory under a kind name, for this process; see `register_store`."""
    _operators.register(kind, factory, replace=replace)


def available_stage_operator_kinds() -> tuple[str, ...]:
    """Return the kinds of stage operators that are installed or registered, sorted."""
    return _operators.kinds()


def register_executor(kind: str, factory: Callable[[], Executor], *, replace: bool = False) -> None:
    """Register an executor factory under a backend name, for this process; see `register_store`."""
    _executors.register(kind, factory, replace=replace)


def executor_kinds() -> tuple[str, ...]:
    """Return the backend names that are installed or registered, sorted, available here or not."""
    return _executors.kinds()


def executor_preference(kind: str) -> int:
    """Return how much `open_text_retriever` prefers a backend; numpy_reference has 0."""
    return _executors.find(kind).preference


def find_executor(backend: str, *, must_run: bool = True) -> Executor:
    """Return the executor of a backend name, made once a process.

    Args:
        backend: a name from `executor_kinds()`.
        must_run: whether an executor that cannot run here is an error.

    Raises:
        UnknownKindError: no such backend; the message says what to install where we know.
        BackendUnavailableError: it cannot run here; the message says why and what to do.
        PluginError: the plugin that provides it is broken.
    """
    spec = _executors.find(backend)
    known = _running.get(id(spec))  # without the lock: every search comes by here
    if known is None:
        with _running_lock:
            known = _running.get(id(spec)) or (spec, _executors.open(backend, {}))
            _running[id(spec)] = known
    executor = known[1]
    if must_run:
        info = executor.backend_info()
        if not info.available:
            raise BackendUnavailableError(f"backend {backend!r} cannot run here: {info.availability_reason}")
    return executor


def usable_backends() -> tuple[str, ...]:
    """Return the names of the backends that can run here, sorted.

    One that a broken plugin provides cannot; `list_plugins` and `find_executor` say why.
    """
    return tuple(kind for kind in executor_kinds() if _can_run(kind))


def _can_run(backend: str) -> bool:
    try:
        return find_executor(backend, must_run=False).backend_info().available
    except Exception:  # noqa: BLE001 - a plugin's executor may raise anything, and must not take the others down
        return False


def specs_of(what: str) -> tuple[Provided, ...]:
    """Return the specs of one sort with their providers.

    Args:
        what: "encoder", "store", "candidate generator", "stage operator" or "executor".
    """
    return _registries()[what].specs()


def kind_conflicts() -> tuple[str, ...]:
    """Describe every name that several plugins claim."""
    return tuple(text for registry in _registries().values() for text in registry.conflicts())


def _registries() -> dict[str, KindRegistry[Any]]:
    return {
        "encoder": _encoders,
        "store": _stores,
        "candidate generator": _generators,
        "stage operator": _operators,
        "executor": _executors,
    }
