"""``memnet models export`` and ``import`` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]


def test_export_replaces_only_what_it_is_told_to(
    memnet: Command, install: Install
) -> None:
    install("low", 5, 20)
    Path("low.pt").write_text("mine")
    arguments = ("models", "export", "low", "low.pt", "--format", "torchscript")
    refused = memnet(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "exists already; replace it with --overwrite" in refused.stderr
    assert Path("low.pt").read_text() == "mine"

    made = memnet(*arguments, "--overwrite")
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout.startswith("Written to low.pt. TorchScript differs from our")
    assert Path("low.pt").read_bytes().startswith(b"PK")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing", "o.pt", "--format", "torchscript"], "There is no model 'nothing'"),
        (["low", "o.pt", "--format", "keras"], "'keras' is not one of"),
        (
            ["low", "no/o.pt", "--format", "torchscript"],
            "Cannot write no/o.pt: No such",
        ),
        (["low", "o.zip", "--format", "bioimageio"], "give --author NAME"),
        (
            ["low", "o.pt", "--format", "torchscript", "--level", 10],
            "leave out --level",
        ),
    ],
    ids=str,
)
def test_export_that_cannot_be_is_explained_in_one_sentence(
    memnet: Command, install: Install, arguments: list[object], told: str
) -> None:
    install("low", 5, 20)
    result = memnet("models", "export", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.split())
    assert [*Path().iterdir()] == []
