"""Runs the code of a Markdown page, block by block, in one namespace and one folder.

What a fenced block means follows from its language and title:

- `python`: executed. With a file name as its title it is written to that file instead.
- `text title="Output"`: exactly what the Python block before it printed; `...` stands for what changes from run to run.
- `console`: lines after `$ ` are run by the shell; the lines below each are its output, compared as above.
- `toml`, `json`, `jsonl`: parsed, and written to the file that the title names, if any.
- `bash title="Needs ..."`, `python title="Needs ..."`: not run, for the visible reason that the title gives; the Python
  is compiled.
- `text` with another title: an illustration.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from markdown_blocks import Block, PageError, blocks

_FILE_NAME = re.compile(r"[\w./-]+\.\w+")
_SNIPPET = re.compile(r'-+8<-+ "(?P<path>[^"]+)"')


class PageRunner:
    """Executes the blocks of one page in order, in the current folder.

    Args:
        snippets: the folder from which `--8<--` includes files.
    """

    def __init__(self, snippets: Path) -> None:
        self._snippets = snippets
        self._namespace: dict[str, object] = {"__name__": "__main__"}
        self._printed: str | None = None
        self._actions: dict[str, Callable[[Block], None]] = {
            "python": self._python,
            "text": self._text,
            "console": self._console,
            "bash": self._bash,
            "toml": lambda block: self._data(block, tomllib.loads),
            "json": lambda block: self._data(block, json.loads),
            "jsonl": lambda block: self._data(block, lambda text: [json.loads(line) for line in text.splitlines()]),
        }

    def run(self, page: Path) -> None:
        for block in blocks(page):
            if block.language not in self._actions:
                raise PageError(f"{block.place}: language {block.language!r} is not known to the tests")
            self._actions[block.language](block)
        self._require_output_shown(page.name)

    def _python(self, block: Block) -> None:
        if _SNIPPET.fullmatch(block.code.strip()) or _FILE_NAME.fullmatch(block.title):
            self._data(block, lambda text: compile(text, block.title, "exec"))
            return
        if block.title.startswith("Needs "):
            try:
                compile(block.code, block.place, "exec")
            except SyntaxError as error:
                raise PageError(f"{block.place}: {error}") from error
            return
        self._require_output_shown(block.place)
        code = compile("\n" * block.line + block.code, block.place, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self._namespace)
        self._printed = printed.getvalue() or None

    def _text(self, block: Block) -> None:
        if not block.title:
            raise PageError(f'{block.place}: a text block needs title="Output" or a title that says what it is')
        if block.title == "Output":
            if self._printed is None:
                raise PageError(f"{block.place}: the block before printed nothing")
            _compare(block.place, block.code, self._printed)
            self._printed = None

    def _console(self, block: Block) -> None:
        if not block.code.startswith("$ "):
            raise PageError(f"{block.place}: a console block starts with '$ '")
        for entry in block.code.removeprefix("$ ").split("\n$ "):
            lines = entry.rstrip("\n").split("\n")
            size = next(i for i, line in enumerate(lines, 1) if not line.endswith("\\"))
            output = _shell("\n".join(lines[:size]), block.place)
            _compare(block.place, "".join(f"{line}\n" for line in lines[size:]), output)

    def _data(self, block: Block, parse: Callable[[str], object]) -> None:
        """Parse a block, or the file that it shows, which has tests of its own; write it to the file that it names."""
        included = _SNIPPET.fullmatch(block.code.strip())
        if included:
            parse((self._snippets / included["path"]).read_text(encoding="utf-8"))
            return
        parse(block.code)
        if _FILE_NAME.fullmatch(block.title):
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.code, encoding="utf-8")

    def _bash(self, block: Block) -> None:
        if not block.title.startswith("Needs "):
            raise PageError(f'{block.place}: say why the block is not run: title="Needs ..."')

    def _require_output_shown(self, place: str) -> None:
        if self._printed is not None:
            raise PageError(f"{place}: the output above is not shown:\n{self._printed}")


def _shell(command: str, place: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    fixed = {
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "HOME": "home",
        "XDG_CACHE_HOME": str(Path("home").absolute()),
    }
    done = subprocess.run(
        command,
        shell=True,
        env={**os.environ, "PATH": path, **fixed},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise PageError(f"{place}: {command!r} exits {done.returncode}:\n{done.stdout}")
    return done.stdout


def _compare(place: str, shown: str, printed: str) -> None:
    printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    if not doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS):
        raise PageError(f"{place}: the page shows\n{shown}\nbut the output is\n{printed}")


if __name__ == "__main__":  # an interpreter for each page, so that what a page registers or configures ends with it
    sys.path[0] = ""
    PageRunner(Path(sys.argv[2])).run(Path(sys.argv[1]))
