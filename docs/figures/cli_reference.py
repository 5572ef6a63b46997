"""MkDocs hook: writes the command-line reference from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from kayak.cli.app import app

MARKER = "<!-- command reference -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference in the marker's place."""
    if MARKER not in markdown:
        return markdown
    return markdown.replace(MARKER, "\n".join(command_reference()))


def command_reference() -> Iterator[str]:
    """Yield the Markdown lines of all commands."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("kayak", [], resilient_parsing=True)
    yield from _parameters(group, context)
    for name in group.commands:  # the core's own; a plugin documents what it adds
        command = group.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield from (f"## kayak {name}", "", command.help or "", "")
        usage = " ".join(command.collect_usage_pieces(inner))
        yield from ('```text title="Usage"', f"kayak {name} {usage}", "```", "")
        yield from _parameters(command, inner)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    rows = []
    for parameter in command.get_params(context):
        if parameter.param_type_name == "argument":
            help_text = getattr(parameter, "help", "") or ""
            rows.append((f"`{parameter.name}`", help_text))
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            rows.append((f"`{record[0]}`", record[1]))
    if rows:
        yield from ("| Argument or option | Meaning |", "|---|---|")
        yield from (f"| {name.replace('|', '/')} | {_escaped(text)} |" for name, text in rows)
        yield ""


def _escaped(text: str) -> str:
    return text.replace("|", "&#124;").replace("[", "&#91;").replace("<", "&lt;")
