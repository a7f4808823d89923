"""Scores of colors: all three channels, and luminance beside."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import memnet_core
from memnet_core.errors import EvaluationError, LevelError, UsageError
from memnet_core.evaluation.protocol import color_scores
from memnet_core.evaluation.published import published
from memnet_core.evaluation.report import as_csv, as_json, as_text
from memnet_core.evaluation.run import (
    color_sample,
    default_levels,
    evaluate_colors,
    has_colors,
    restored_colors,
)
from memnet_core.image_ops.metrics import psnr, ssim
from memnet_core.image_ops.resize import imresize
from memnet_core.inference.settings import RestoreOptions
from memnet_core.model.checkpoint import save_model
from memnet_core.model.registry import Entry
from memnet_core.tasks import TASKS, Levels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small pictures in color."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(2):
        rng = np.random.default_rng(index)
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        large = small.resize((44, 40), Image.Resampling.BICUBIC)
        large.save(folder / f"{index}.png")
    return folder


@pytest.fixture
def model(tmp_path: Path, random_network: Callable[..., Any]) -> Callable[..., Entry]:
    """Write a model file; it changes nothing if asked so."""

    def model(
        task: str, *levels: float, image_channels: int = 3, changes: bool = True
    ) -> Entry:
        network = random_network(
            memory_blocks=1, recursions=1, channels=4, image_channels=image_channels
        )
        with torch.no_grad():
            network.fusion.fill_(1)
            for parameter in network.reconnet.parameters():
                parameter.mul_(0.2 if changes else 0)
        path = tmp_path / f"{task}.safetensors"
        card = save_model(
            path,
            network,
            name="mine",
            task=task,
            levels=Levels(values=levels, continuous=len(levels) > 1),
            version="1",
            license="none",
        )
        return Entry(path, card)

    return model


def pixels(folder: Path, name: str = "0.png") -> NDArray[np.uint8]:
    return np.asarray(Image.open(folder / name))


def test_psnr_of_colors_is_that_of_the_mean_error_of_all_channels() -> None:
    clean = np.full((12, 12, 3), 100.0)
    image = clean + np.array([6.0, 0.0, 3.0])
    expected = 10 * math.log10(255**2 / ((36 + 0 + 9) / 3))
    assert psnr(clean, image) == pytest.approx(expected)
    [found, _], [luminance, _] = color_scores(clean, image, TASKS["deblock"], 10)
    assert found == pytest.approx(expected)
    of_luminance = (6 * 65.481 + 3 * 24.966) / 255
    assert luminance == pytest.approx(20 * math.log10(255 / of_luminance))


def test_luminance_of_denoising_reaches_from_0_to_255() -> None:
    clean = np.full((12, 12, 3), 100.0)
    _, [luminance, _] = color_scores(clean, clean + 5, TASKS["denoise"], 10)
    assert luminance == pytest.approx(20 * math.log10(255 / 5), abs=1e-6)


def test_ssim_of_colors_is_the_mean_of_their_channels() -> None:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (20, 24, 3)).astype(float)
    image = clean + rng.normal(0, [5, 20, 80], clean.shape)
    channels = [ssim(clean[..., c], image[..., c]) for c in range(3)]
    assert max(channels) - min(channels) > 0.1
    assert ssim(clean, image) == pytest.approx(np.mean(channels))


@pytest.mark.parametrize(
    ("task", "levels"), [("deblock", (10, 40)), ("denoise", (25, 30)), ("sr", (2, 3))]
)
def test_model_that_changes_nothing_scores_as_its_input(
    folder: Path, model: Callable[..., Entry], task: str, levels: tuple[float, ...]
) -> None:
    entry = model(task, levels[0], changes=False)
    [found] = evaluate_colors(entry, folder, device="cpu")
    assert (found.dataset, found.level, found.colors) == ("mine", levels[0], "joint")
    for row in (*found.images, found.mean):
        assert row.psnr == pytest.approx(row.input_psnr, abs=1e-3)
        assert row.ssim == pytest.approx(row.input_ssim, abs=1e-4)
        assert row.luminance is not None
        assert row.luminance.psnr == pytest.approx(row.luminance.input_psnr, abs=1e-3)
        assert row.luminance.psnr != pytest.approx(row.psnr, abs=0.1)
    first, second = found.images
    assert found.mean.psnr == pytest.approx((first.psnr + second.psnr) / 2)


def test_jpegs_are_those_that_pillow_writes_with_half_of_the_chroma(
    folder: Path, tmp_path: Path
) -> None:
    clean = pixels(folder)
    sample = color_sample(clean, TASKS["deblock"], 20, seed=0, number=0)
    assert sample.source is not None
    assert sample.source.jpeg_coding is not None
    assert sample.source.jpeg_coding.sampling == ((2, 2), (1, 1), (1, 1))
    Image.fromarray(clean).save(tmp_path / "a.jpg", quality=20, subsampling="4:2:0")
    written = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(sample.degraded, written)
    np.testing.assert_array_equal(sample.source.stack[0], written)


def test_full_disk_is_named(
    folder: Path, model: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    entry = model("deblock", 10)
    monkeypatch.setattr("memnet_core.evaluation.run.Path.write_bytes", full)
    with pytest.raises(EvaluationError, match=r"40×44 px .* No space left .* TMPDIR"):
        list(evaluate_colors(entry, folder, device="cpu"))


def test_noise_is_another_one_in_each_channel_and_not_clipped() -> None:
    clean = np.zeros((120, 100, 3), np.uint8)
    first = color_sample(clean, TASKS["denoise"], 30, seed=0, number=0).degraded
    noise = first.reshape(-1, 3)
    np.testing.assert_allclose(noise.std(0), 30, rtol=0.03)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.04
    assert first.min() < -60
    again, other = (
        color_sample(clean, TASKS["denoise"], 30, seed=0, number=n).degraded
        for n in (0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_small_pictures_are_enlarged_in_color(
    folder: Path, model: Callable[..., Entry]
) -> None:
    entry = model("sr", 3, changes=False)
    clean = pixels(folder)[:39, :42].astype(np.float64)
    sample = color_sample(pixels(folder), TASKS["sr"], 3, seed=0, number=0)
    assert sample.source is not None
    assert sample.source.shape == (1, 13, 14, 3)
    enlarged = imresize(imresize(clean, (13, 14)), (39, 42))
    np.testing.assert_allclose(sample.degraded, enlarged, atol=1e-3)
    asked = RestoreOptions(task="sr", level=3, model=str(entry.path), device="cpu")
    restored, _ = restored_colors(sample, asked)
    np.testing.assert_allclose(restored, enlarged, atol=1e-3)


@pytest.mark.parametrize(
    ("image_channels", "channels", "mode"),
    [(3, None, "joint"), (1, None, "chroma"), (1, "each", "each")],
)
def test_jpegs_are_restored_as_the_product_restores_files(
    folder: Path,
    tmp_path: Path,
    model: Callable[..., Entry],
    image_channels: int,
    channels: Any,
    mode: str,
) -> None:
    entry = model("deblock", 10, image_channels=image_channels)
    [found] = evaluate_colors(entry, folder, channels=channels, device="cpu")
    Image.fromarray(pixels(folder)).save(tmp_path / "a.jpg", quality=10)
    restored = memnet_core.restore(
        tmp_path / "a.jpg",
        "deblock",
        10,
        model=str(entry.path),
        channels=channels,
        device="cpu",
    )
    loose = memnet_core.restore(
        tmp_path / "a.jpg",
        "deblock",
        10,
        model=str(entry.path),
        channels=channels,
        device="cpu",
        consistency=False,
    )
    assert not np.array_equal(restored.pixels, loose.pixels)
    assert found.images[0].psnr == psnr(pixels(folder), restored.pixels)
    assert found.images[0].ssim == ssim(pixels(folder), restored.pixels)
    assert found.colors == mode


def test_luminance_and_each_channel_score_differently(
    folder: Path, model: Callable[..., Entry]
) -> None:
    entry = model("denoise", 25, image_channels=1)
    scored = {
        channels: next(evaluate_colors(entry, folder, channels=channels, device="cpu"))
        for channels in (None, "luminance", "each")
    }
    assert scored[None].images == scored["each"].images
    assert scored["luminance"].mean.psnr != pytest.approx(scored["each"].mean.psnr)


def test_channels_and_levels_that_a_model_lacks_are_refused(
    folder: Path, model: Callable[..., Entry]
) -> None:
    entry = model("deblock", 10, image_channels=1)
    with pytest.raises(UsageError, match="restores gray planes, not colors together"):
        list(evaluate_colors(entry, folder, channels="joint", device="cpu"))
    with pytest.raises(LevelError, match="covers q 10, not 40"):
        list(evaluate_colors(entry, folder, [40], device="cpu"))


def test_folder_has_colors_if_one_picture_has(folder: Path) -> None:
    assert has_colors(folder)
    for name in ("0.png", "1.png"):
        Image.open(folder / name).convert("L").convert("RGB").save(folder / name)
    assert not has_colors(folder)


@pytest.mark.parametrize(
    ("level", "jpeg", "qgac", "fbcnn"),
    [(10, 25.69, 27.62, 27.77), (20, 28.06, 29.88, 30.11), (40, 30.28, 32.05, 32.34)],
)
def test_published_figures_are_those_of_live1_alone(
    level: float, jpeg: float, qgac: float, fbcnn: float
) -> None:
    table = TASKS["deblock"].table
    assert published(table, "LIVE1", colors=True)[level] == {
        "JPEG": (jpeg, None),
        "QGAC": (qgac, None),
        "FBCNN": (fbcnn, None),
    }
    for name in ("Classic5", "Set5"):
        assert published(table, name, colors=True) == {}
    assert "QGAC" not in published(table, "LIVE1")[10]


def test_other_pictures_named_as_live1_are_refused(
    folder: Path, model: Callable[..., Entry]
) -> None:
    entry = model("deblock", 5, 75)
    live1 = folder.rename(folder.parent / "LIVE1")
    assert default_levels(entry.card, live1, colors=True) == (10, 20, 40)
    with pytest.raises(EvaluationError, match="holds 2 images, but LIVE1 has 29"):
        list(evaluate_colors(entry, live1, device="cpu"))
    for index in range(2, 29):
        (live1 / f"{index}.png").write_bytes((live1 / "0.png").read_bytes())
    with pytest.raises(EvaluationError, match=r"dB, not 25\.69 dB as published: these"):
        list(evaluate_colors(entry, live1, device="cpu"))


def test_known_set_without_figures_for_colors_is_scored_as_any_other(
    folder: Path, model: Callable[..., Entry]
) -> None:
    entry = model("deblock", 10)
    classic = folder.rename(folder.parent / "classic5")
    [found] = evaluate_colors(entry, classic, device="cpu")
    assert found.published == {}


def test_published_figures_stand_beside_colors_in_all_reports(
    folder: Path, model: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = model("deblock", 10)
    [one] = evaluate_colors(entry, folder, device="cpu")
    monkeypatch.setattr(
        "memnet_core.evaluation.run.input_scores",
        lambda *_, **__: {10.0: (one.mean.input_psnr, None)},
    )
    live1 = folder.rename(folder.parent / "LIVE1")
    for index in range(2, 29):
        source = live1 / f"{index % 2}.png"
        (live1 / f"{index}.png").write_bytes(source.read_bytes())
    monkeypatch.setattr(type(TASKS["deblock"]), "slack", (0.1, 0.1))
    [found] = evaluate_colors(entry, live1, device="cpu")
    gain = f"{27.62 - found.mean.input_psnr:+.2f}"
    assert f"27.62 / -         {gain}" in as_text(entry.card, found)
    data = json.loads(as_json(entry.card, [found]))["evaluations"][0]
    assert data["published"]["QGAC"] == [27.62, None]


def test_reports_hold_scores_of_colors_and_of_luminance(
    folder: Path, model: Callable[..., Entry]
) -> None:
    entry = model("denoise", 25)
    [found] = evaluate_colors(entry, folder, device="cpu")
    luminance = found.mean.luminance
    assert luminance is not None
    text = as_text(entry.card, found)
    assert "σ 25: mine, RGB, colors restored: joint" in text
    row = next(line for line in text.splitlines() if line.startswith("mean"))
    assert f"{found.mean.psnr:.2f} / {found.mean.ssim:.4f}" in row
    assert f"{luminance.psnr:.2f} / {luminance.ssim:.4f}" in row
    [*_, mean] = csv.DictReader(io.StringIO(as_csv([found])))
    assert mean["colors"] == "joint"
    assert float(mean["psnr"]) == found.mean.psnr
    assert float(mean["luminance_input_ssim"]) == luminance.input_ssim
    data = json.loads(as_json(entry.card, [found]))["evaluations"][0]
    assert data["colors"] == "joint"
    assert data["mean"]["luminance"]["psnr"] == luminance.psnr
    first = found.images[0].luminance
    assert first is not None
    assert data["images"][0]["luminance"]["input_psnr"] == first.input_psnr


def test_reports_of_gray_planes_have_no_columns_for_colors(
    folder: Path, model: Callable[..., Entry]
) -> None:
    from memnet_core.evaluation.run import evaluate
    from memnet_core.inference.engine import Engine
    from memnet_core.model.checkpoint import load_model

    entry = model("denoise", 25, image_channels=1)
    network, card = load_model(entry.path)
    [found] = evaluate(Engine(network, device="cpu"), card, folder)
    assert "luminance" not in as_text(card, found)
    [*_, mean] = csv.DictReader(io.StringIO(as_csv([found])))
    assert mean["colors"] == mean["luminance_psnr"] == ""
    assert json.loads(as_json(card, [found]))["evaluations"][0]["colors"] is None
