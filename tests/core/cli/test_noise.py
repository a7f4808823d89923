"""Noise of photons at the command line: found, given, refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]


@pytest.fixture
def photographed(folder: Path, install: Install) -> None:
    """Write a 16-bit picture of photons: 2 values for each, on a black of 100."""
    install("noisy", 1, 75, task="denoise")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160] / 20
    electrons = 60 * (1 + np.sin(x) * np.cos(y)) ** 2 / 4
    values = 100 + 2 * rng.poisson(electrons) + rng.normal(0, 3, electrons.shape)
    tifffile.imwrite("cells.tif", np.rint(values).astype(np.uint16))


@pytest.mark.usefixtures("photographed")
def test_info_tells_the_noise_of_photons(memnet: Command) -> None:
    lines = memnet("info", "cells.tif").stdout.splitlines()
    (noise,) = (line for line in lines if line.startswith("noise  "))
    gain, words = noise.removeprefix("noise").split(maxsplit=1)
    assert float(gain) == pytest.approx(2, rel=0.2)
    assert words.startswith("values per photo-electron, σ ")
    assert words.endswith(" from dark to bright")
    (level,) = (line for line in lines if line.startswith("noise deviation"))
    assert "made the same everywhere: σ " in level


@pytest.mark.usefixtures("photographed")
def test_noise_can_be_given_and_is_told_by_report_and_result(memnet: Command) -> None:
    told: dict[str, Any] = {}
    for noise in ("auto", "gaussian", "2.5,-240"):
        arguments = ("cells.tif", f"out {noise}", "--report", f"{noise}.json")
        result = memnet("batch", "--task", "denoise", "--noise", noise, *arguments)
        assert result.exit_code == 0, result.stderr
        with open(f"{noise}.json", encoding="utf-8") as file:
            (entry,) = json.load(file)["files"]
        told[noise] = entry["remark"]
    assert "values per photo-electron" in told["auto"]
    assert "σ estimated as" in told["gaussian"]
    assert "photo-electron" not in told["gaussian"]
    assert "noise: 2.5 values per photo-electron" in told["2.5,-240"]
    pixels = [tifffile.imread(f"out {noise}/cells.tif") for noise in told]
    assert not np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])
    assert "noise [2.5, -240.0]" in memnet("info", "out 2.5,-240/cells.tif").stdout


@pytest.mark.usefixtures("photographed")
def test_result_with_other_noise_is_out_of_date(memnet: Command) -> None:
    command = ("batch", "--task", "denoise", "cells.tif", "out")
    assert memnet(*command).exit_code == 0
    again = memnet(*command, "--noise", "2,-191")
    assert "made with other settings (noise)" in again.stderr


@pytest.mark.usefixtures("photographed")
@pytest.mark.parametrize("noise", ["poisson", "2", "0,3", "-1,5", "nan,1", "2,inf"])
def test_noise_that_is_none_is_a_usage_error(memnet: Command, noise: str) -> None:
    result = memnet(
        "restore", "--task", "denoise", "--noise", noise, "cells.tif", "b.tif"
    )
    assert result.exit_code == 2
    assert (
        f"'{noise}' is neither 'auto', 'gaussian' nor 'photons', nor A,B"
        in result.stderr
    )


@pytest.mark.usefixtures("photographed")
def test_noise_and_sigma_exclude_each_other(memnet: Command) -> None:
    options = ("--task", "denoise", "--noise", "2,0", "--sigma", "20")
    result = memnet("restore", *options, "cells.tif", "b.tif")
    assert result.exit_code in (1, 2)
    assert "Noise of photons, as is asked for, excludes --sigma 20." in result.stderr
