"""`kayak mojo`: see which kernels run here, and compile them for the exact processor."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import kayak
import typer

app = typer.Typer(
    help="See which compiled kernels score here, and compile them for the exact processor.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

Json = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to stdout.")]


@app.command()
def build(
    *,
    force: Annotated[bool, typer.Option("--force", help="Compile even if the cache holds the library.")] = False,
    as_json: Json = False,
) -> None:
    """Compile the kernels for the exact processor of this machine.

    The library is tried against double-precision arithmetic, then kept in the user's cache folder, where this and later
    versions of Python find it. Processes started from then on prefer it to the prebuilt one.
    """
    from kayak_mojo.local_build import build_for_this_processor

    start = time.perf_counter()
    done = build_for_this_processor(force=force)
    if as_json:
        _write_json({"library": str(done.library), "compiler": done.compiler, "built": done.built})
        return
    took = f"Compiled and verified in {time.perf_counter() - start:.0f} s" if done.built else "Already compiled"
    typer.echo(f"{took} by {done.compiler}: {done.library}")


@app.command()
def info(*, as_json: Json = False) -> None:
    """Show the library that runs, its level and threads, the compiler, and the cache folder."""
    from kayak_mojo.cache import libraries_folder
    from kayak_mojo.cpu import levels, machine

    bridge = kayak.mojo_bridge_info(probe_load=True)
    facts = {
        "available": bridge.backend.available,
        "reason": bridge.backend.availability_reason,
        "detail": bridge.backend.detail,
        "processor": f"{machine()}, executes {', '.join(levels()) or 'none of the prebuilt levels'}",
        "compiler": bridge.cli_version,
        "compiler_command": list(bridge.cli or ()),
        "compiler_source": bridge.cli_source,
        "compiler_error": bridge.error,
        "cache": str(libraries_folder()),
    }
    if as_json:
        _write_json(facts)
        return
    typer.echo(str(bridge))
    for name in ("processor", "cache"):
        typer.echo(f"  {name}: {facts[name]}")


def _write_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))
