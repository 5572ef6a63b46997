"""Commands that other distributions add to `kayak`, found by the entry-point group `kayak.commands`.

An entry point names a `typer.Typer`, which becomes the command or group of that name; it is imported when the command
is run or listed. `KAYAK_PLUGINS` and `KAYAK_DISABLED_PLUGINS` hold for these names as they do for plugins. A broken one
takes no other command down: it stays listed, says what is wrong, and fails when it is run.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from kayak.errors import PluginError
from kayak.plugins.manager import describe_error, entry_point_is_allowed

COMMANDS_GROUP = "kayak.commands"


def plugin_commands() -> dict[str, list[EntryPoint]]:
    """Return the entry points of each command name that plugins claim; nothing is imported."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(set(entry_points(group=COMMANDS_GROUP)), key=lambda entry: (entry.name, entry.value)):
        if entry_point_is_allowed(entry.name):
            found.setdefault(entry.name, []).append(entry)
    return found


def load_command(name: str, entries: list[EntryPoint]) -> Any:
    """Import the command that an entry point names; one that is broken comes back as a command that says so."""
    distributions = claimants(entries)
    try:
        if len(entries) > 1:
            return _broken(name, distributions, "several distributions claim it")
        loaded = entries[0].load()
        if not isinstance(loaded, typer.Typer):
            return _broken(name, distributions, f"{entries[0].value} is a {type(loaded).__name__}, not a typer.Typer")
        command: Any = typer.main.get_command(loaded)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's import may raise anything; it is kept and shown
        return _broken(name, distributions, describe_error(error))
    command.name = name
    return command


def claimants(entries: list[EntryPoint]) -> str:
    """Return the names of the distributions that the entry points come from."""
    return " and ".join(sorted(entry.dist.name for entry in entries if entry.dist is not None))


def _broken(name: str, distributions: str, reason: str) -> Any:
    app = typer.Typer(add_completion=False)
    message = f"the command {name!r} of {distributions} is broken: {reason}; mend or uninstall what provides it"

    @app.command(
        name=name,
        help=f"(broken: {reason})",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def fail() -> None:
        raise PluginError(message)

    return typer.main.get_command(app)
