"""The command group: errors become one sentence and an exit code."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import warnings
from typing import Any

import click

from memnet_core._util.environment import prepare_process
from memnet_core._util.sanitize import escape_control_chars, shown_lines
from memnet_core.cli._options import as_option
from memnet_core.cli._progress import (
    EXIT_BUG,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    is_debugging,
    shown_cause,
)
from memnet_core.cli.adapt import adapt
from memnet_core.cli.analyze import analyze
from memnet_core.cli.batch import batch
from memnet_core.cli.bug_report import bug_report, version_option
from memnet_core.cli.evaluate import evaluate
from memnet_core.cli.info import info
from memnet_core.cli.models import models
from memnet_core.cli.reproduce import reproduce
from memnet_core.cli.restore import restore
from memnet_core.cli.train import train
from memnet_core.errors import ImageError, MemnetError
from memnet_core.tasks import AUTO

__all__ = ["main"]


class _Group(click.Group):
    """A group that turns what goes wrong into messages and exit codes."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take ``memnet in/ out/`` for ``memnet batch --task auto in/ out/``.

        The name of a command wins over a folder of that name. A file and the name of
        another one are for ``restore``.
        """
        if self.get_command(ctx, args[0]) is None and _is_input(args[0]):
            one = os.path.isfile(args[0]) and len(args) == 2
            is_file = (
                one and os.path.splitext(args[1])[1] and not os.path.isdir(args[1])
            )
            args = ["restore" if is_file else "batch", "--task", AUTO, *args]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        prepare_process()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        _escape_messages_of_libraries()
        try:
            return super().invoke(ctx)
        except click.UsageError as error:  # may repeat names that a glob found
            message = shown_lines(error.format_message())
            raise click.UsageError(message, error.ctx) from error
        except click.ClickException as error:
            raise click.ClickException(shown_lines(error.format_message())) from error
        except (click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except MemnetError as error:
            _tell_cause(error)
            message = escape_control_chars(error.spelled(as_option))
            click.echo(f"Error: {message}", err=True)
            failed = isinstance(error, ImageError)
            ctx.exit(EXIT_FAILED if failed else EXIT_USAGE)
        except Exception as error:  # the edge: nobody else would tell it
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of our output left, as head does; click ends quietly
            if _was_interrupted(error):
                click.echo("Interrupted.", err=True)
                ctx.exit(EXIT_INTERRUPTED)
            _tell_cause(error)
            click.echo(f"Error: {_bug(error)}", err=True)
            ctx.exit(EXIT_BUG)


class _ShownFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown_lines(super().format(record))


def _escape_messages_of_libraries() -> None:
    """Escape what libraries log or warn of: they repeat what files hold."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_ShownFormatter())
    warnings.formatwarning = _warning_line


def _warning_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"{category.__name__}: {escape_control_chars(message)}\n"


def _tell_cause(error: Exception) -> None:
    """Print where an error comes from, if that was asked for."""
    if is_debugging():
        click.echo(shown_cause(error), err=True)


def _bug(error: Exception) -> str:
    """Ask in one sentence to report an error that nobody foresaw."""
    what = escape_control_chars(
        f"{type(error).__name__}: {error}" if str(error) else repr(error)
    )
    how = (
        "with the traceback above"
        if is_debugging()
        else "with the traceback that `memnet --debug` and the same arguments show"
    )
    return f"this is a fault of memnet ({what}); please report it {how}."


def _was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error.

    Extension modules that are interrupted while they are imported raise an ImportError
    of their own.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_input(argument: str) -> bool:
    """Whether an argument in the place of a command is meant as a file or folder."""
    return os.path.lexists(argument) or any(c in argument for c in (os.sep, *"*?"))


def _american(token: str) -> str:
    """Take options by their names of earlier versions: ``--colour``, ``--licence``."""
    return token.replace("colour", "color").replace("licence", "license")


@click.group(
    cls=_Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": _american,
    },
)
@version_option
@click.option(
    "--debug",
    is_flag=True,
    envvar="MEMNET_DEBUG",
    show_envvar=True,
    help="Show the traceback of every error.",
)
def main(*, debug: bool) -> None:
    """Restore noisy, blocky or too-small images with MemNet.

    \b
    memnet in/ out/    restores what each file needs, as batch --task auto does
    """  # noqa: D301


_COMMANDS = (
    *(batch, restore, info, models),
    *(train, adapt, evaluate, analyze, reproduce),
    bug_report,
)
for command in _COMMANDS:
    main.add_command(command)
