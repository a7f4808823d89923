"""What a form says, as a command and as Python."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from memnet_core.cli._app import main
from memnet_core.cli._options import restoration_options, settings_of
from memnet_core.errors import SettingRef
from memnet_core.inference.settings import RestoreOptions
from napari_memnet.snippets import as_command, as_field, as_python

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_messages_name_fields_of_the_window() -> None:
    named = {
        SettingRef("nearest", True): "“nearest model”",
        SettingRef("range", "auto"): "“intensity range” auto",
        SettingRef("sigma"): "“noise σ”",
        SettingRef("format", "tiff"): "the format tiff",
        SettingRef("max_pixels", python="VARIABLE"): "VARIABLE",
    }
    assert {one: as_field(one) for one in named} == named


@pytest.mark.parametrize(
    "settings",
    [
        RestoreOptions(task="denoise"),
        RestoreOptions(task="deblock", level=35, nearest=True, model="my model"),
        RestoreOptions(task="sr", level=2, channels="each", exit_block=1, device="cpu"),
        RestoreOptions(task="denoise", value_range=(-12.5, 4095.0), level=0.3),
        RestoreOptions(
            task="denoise",
            value_range="dtype",
            cyclic=False,
            tta=True,
            consistency=False,
        ),
    ],
    ids=str,
)
def test_the_command_stands_for_the_same_settings(settings: RestoreOptions) -> None:
    import click

    read: list[RestoreOptions] = []

    @click.command()
    @restoration_options
    def command(axes: str, **options: Any) -> None:
        read.append(settings_of(**options))

    words = shlex.split(as_command(settings, "a file.tif", "out.tif"))
    assert words[:4] == ["memnet", "restore", "a file.tif", "out.tif"]
    done = CliRunner().invoke(command, words[4:])
    assert done.exit_code == 0, done.output
    assert read == [settings]


def test_command_and_python_make_what_the_form_says(
    tmp_path: Path, install: Callable[..., Path]
) -> None:
    install("noise", 0, 255, task="denoise")
    pixels = np.random.default_rng(0).integers(0, 900, (20, 24), np.uint16)
    source = tmp_path / "it's.tif"
    tifffile.imwrite(source, pixels)
    settings = RestoreOptions(task="denoise", level=12, value_range=(3, 800))
    exec(as_python(settings, str(source), str(tmp_path / "python.tif")), {})
    command = as_command(settings, str(source), str(tmp_path / "command.tif"))
    done = CliRunner().invoke(main, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    first, second = (
        tifffile.imread(tmp_path / f"{name}.tif") for name in ("python", "command")
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, pixels)
