"""Write docs/command.md, the reference of the memnet command, from its options.

Usage: python docs/make_command.py
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("command.md")

INTRODUCTION = """\
# Command reference

Written by `python docs/make_command.py` from the options of the command, of which
`--help` prints the same.
"""


def page() -> str:
    """Return the text of docs/command.md."""
    context = click.Context(main, info_name="memnet")
    return "\n".join([INTRODUCTION, *sections(main, context)])


def sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the section of a command, and those of the commands in a group."""
    yield f"## {context.command_path}\n"
    # Click marks paragraphs that are not to be wrapped by \b.
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```\n"
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and "--help" not in record[0]
    ]
    if records:
        yield "| option | |\n|---|---|"
        for names, text in records:
            cells = (f"`{names}`", " ".join(text.split()))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found and not found.hidden:
                yield from sections(
                    found, click.Context(found, parent=context, info_name=name)
                )


if __name__ == "__main__":
    PAGE.write_text(page())
