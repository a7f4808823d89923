"""The peers of benchmarks/quality.py, and what it records."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.model.checkpoint import read_card
from memnet_core.model.registry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Measured by others with the same weights, on other noise: ../shared/DATA.md.
MEASURED = [
    pytest.param("sr", "SMFANet+ (one per ×)", 4, 32.50, 0.01, id="SMFANet+ ×4"),
    pytest.param(
        *("denoise-color", "FFDNet color", 50, 29.24, 0.05),
        marks=pytest.mark.slow,
        id="FFDNet color",
    ),
    pytest.param(
        *("denoise", "FFDNet", 30, 29.11, 0.05),
        marks=pytest.mark.slow,
        id="FFDNet gray",
    ),
]


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of benchmarks/."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


@pytest.mark.parametrize(("benchmark", "name", "level", "psnr", "tolerance"), MEASURED)
def test_peers_score_as_measured(
    shared_data: Path,
    benchmark_module: Callable[[str], Any],
    benchmark: str,
    name: str,
    level: int,
    psnr: float,
    tolerance: float,
) -> None:
    chosen = benchmark_module("inputs").BENCHMARKS[benchmark]
    system = benchmark_module("peers").PEERS[benchmark][name](name)
    samples = [
        chosen.sample(plane, level, number)
        for number, plane in enumerate(chosen.planes())
    ]
    found = benchmark_module("quality").mean_scores(chosen, {level: samples}, system)
    assert found[level][0] == pytest.approx(psnr, abs=tolerance)


def test_peers_cost_what_is_known_of_them(
    shared_data: Path, benchmark_module: Callable[[str], Any]
) -> None:
    peers = benchmark_module("peers").PEERS
    costs = {
        name: round(peers[benchmark][name](name).multiply_adds / 1000)
        for benchmark, name in (
            ("denoise", "FFDNet"),
            ("denoise-color", "FFDNet color"),
            ("sr", "SMFANet+ (one per ×)"),
            ("sr", "DnCNN-3"),
        )
    }
    assert list(costs.values()) == [121, 213, 110, 665]


def test_scores_in_color_are_recorded_beside_those_of_gray_planes(
    benchmark_module: Callable[[str], Any], install: Callable[..., Path]
) -> None:
    quality = benchmark_module("quality")
    gray = {
        "dataset": "Set5",
        "level": 30,
        "input_psnr": 1,
        "input_ssim": 1,
        "psnr": 1,
        "ssim": 1,
    }
    old = gray | {"dataset": "Set5 (RGB)"}
    path = install("mine", 5, 75, task="denoise", image_channels=3, scores=[gray, old])
    rows = [
        quality.Row("Noisy", {30: (18.59, 0.29), 50: (14.15, 0.17)}),
        quality.Row("MemNet mine", {30: (27.46, 0.69)}, sha256="0" * 64),
        quality.Row("FFDNet color", {30: (31.33, 0.87)}),
    ]
    comparison = quality.Comparison("denoise-color", "Set5 (RGB)", "denoise", 5, rows)
    quality.record(Entry(path, read_card(path)), comparison)
    kept, made = read_card(path).scores
    assert kept.dataset == "Set5"
    assert (made.dataset, made.level) == ("Set5 (RGB)", 30)
    assert (made.input_psnr, made.input_ssim) == (18.59, 0.29)
    assert (made.psnr, made.ssim) == (27.46, 0.69)


def test_noise_is_measured_on_pictures_that_training_does_not_see(
    benchmark_module: Callable[[str], Any], tmp_path: Path
) -> None:
    noise = benchmark_module("noise")
    assert len(set(noise.LEFT_OUT)) == 20
    source, linked = tmp_path / "CID22", tmp_path / "linked"
    source.mkdir()
    for name in (*noise.LEFT_OUT, "seen.png"):
        (source / name).write_bytes(b"picture")
    noise.link(source, linked)
    assert [path.name for path in linked.iterdir()] == ["seen.png"]
    assert (linked / "seen.png").read_bytes() == b"picture"


def test_the_simulated_camera_shows_a_ramp_of_gray_as_it_is(
    benchmark_module: Callable[[str], Any],
) -> None:
    noise = benchmark_module("noise")
    light = np.multiply.outer(np.linspace(0.2, 0.4, 24), np.linspace(1, 2, 20))
    mosaic = np.sum((light[..., None] / noise.BALANCE) * noise.bayer(24, 20), axis=2)
    colors = noise.developed(mosaic)
    expected = np.repeat(255 * light[..., None] ** (1 / 2.2), 3, axis=2)
    np.testing.assert_allclose(colors[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.5)
