"""``memnet models export`` and ``import`` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import save_file

from memnet_core.model.checkpoint import load_model

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


def test_imported_tensors_become_an_installed_model(
    memnet: Command, install: Install, models_folder: Path
) -> None:
    network, _ = load_model(install("low", 5, 20))
    save_file(dict(network.state_dict()), "plain.safetensors")
    arguments = ("models", "import", "plain.safetensors", "--task", "denoise")
    made = memnet(*arguments, "--levels", "5-50")
    assert (made.exit_code, made.stderr) == (0, "")
    target = models_folder / "plain.safetensors"
    assert made.stdout == (
        "Installed 'plain' (denoise σ 5-50; 2 memory blocks of 1 recursions, 4 "
        f"channels) as {target}.\n"
    )
    told = memnet("models", "info", "plain").stdout
    assert "license        not stated" in told
    assert "from the tensors in plain.safetensors." in told


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (b"\x0a\x7f", [], "or a damaged one: field 1 ends 127 bytes late"),
        (b"", [], "or a damaged one: it has no sum of images"),
        (None, [], "No such file or directory"),
        (b"", ["--levels", "many"], "are no levels"),
    ],
    ids=["damaged", "empty", "missing", "levels"],
)
def test_import_that_cannot_be_is_explained_in_one_sentence(
    memnet: Command,
    models_folder: Path,
    content: bytes | None,
    arguments: list[str],
    told: str,
) -> None:
    if content is not None:
        Path("a.caffemodel").write_bytes(content)
    result = memnet(
        *("models", "import", "a.caffemodel", "--task", "sr", "--levels", "2,3"),
        *arguments,
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.split())
    assert [*models_folder.iterdir()] == []
