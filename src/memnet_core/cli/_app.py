"""The command group: errors become one sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from memnet_core._version import __version__
from memnet_core.cli._display import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, shown
from memnet_core.cli.batch import batch
from memnet_core.cli.evaluate import evaluate
from memnet_core.cli.info import info
from memnet_core.cli.models import models
from memnet_core.cli.restore import restore
from memnet_core.cli.train import train
from memnet_core.errors import ImageError, MemnetError

__all__ = ["main"]


class _Group(click.Group):
    """A group that turns the package's errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        # PyTorch reads this when it first allocates memory. Huge pages make large
        # feature maps 1.4 times as fast: try benchmarks/speed.py with the value 0.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except MemnetError as error:
            click.echo(f"Error: {shown(error)}", err=True)
            failed = isinstance(error, ImageError)
            ctx.exit(EXIT_FAILED if failed else EXIT_USAGE)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="memnet")
def main() -> None:
    """Restore noisy, blocky or too-small images with MemNet."""


for command in (batch, restore, info, models, train, evaluate):
    main.add_command(command)
