"""The command group: errors become one sentence and an exit code."""

from __future__ import annotations

from typing import Any

import click

from memnet_core._version import __version__
from memnet_core.cli.train import train
from memnet_core.errors import ImageError, MemnetError

__all__ = ["main"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class _Group(click.Group):
    """A group that turns the package's errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except MemnetError as error:
            click.echo(f"Error: {error}", err=True)
            failed = isinstance(error, ImageError)
            ctx.exit(EXIT_FAILED if failed else EXIT_USAGE)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="memnet")
def main() -> None:
    """Restore noisy, blocky or too-small images with MemNet."""


main.add_command(train)
