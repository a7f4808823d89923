"""Scores by the paper's protocol."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from memnet_core.errors import EvaluationError, ImageError, LevelError
from memnet_core.evaluation.protocol import degraded_input, reference, scores
from memnet_core.evaluation.published import known_set, published
from memnet_core.evaluation.report import as_csv, as_json, as_text, draw_gains
from memnet_core.evaluation.run import default_levels, evaluate
from memnet_core.image_ops.metrics import psnr
from memnet_core.image_ops.resize import imresize
from memnet_core.model.architecture import Architecture
from memnet_core.model.card import Card
from memnet_core.tasks import TASKS, Levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.inference.engine import Engine

    Stub = Callable[..., Engine]


def card(task: str, *levels: float, continuous: bool = False) -> Card:
    return Card(
        name="mine",
        task=task,
        levels=Levels(values=levels, continuous=continuous),
        architecture=Architecture(),
        version="1",
        license="none",
        sha256="0" * 64,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small pictures."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(2):
        rng = np.random.default_rng(index)
        small = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
        small.resize((50, 45), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("task", "levels"), [("deblock", (10, 40)), ("denoise", (25,)), ("sr", (2, 3))]
)
def test_model_that_changes_nothing_scores_as_its_input(
    folder: Path, stub_engine: Stub, task: str, levels: tuple[float, ...]
) -> None:
    found = list(
        evaluate(stub_engine(lambda x: x), card(task, *levels), folder, levels)
    )
    assert [evaluation.level for evaluation in found] == list(levels)
    for evaluation in found:
        assert [row.image for row in evaluation.images] == ["0.png", "1.png"]
        for row in evaluation.images:
            assert row.psnr == pytest.approx(row.input_psnr, abs=1e-3)
            assert row.ssim == pytest.approx(row.input_ssim, abs=1e-4)
        first, second = evaluation.images
        assert evaluation.mean.psnr == pytest.approx((first.psnr + second.psnr) / 2)


def test_super_resolution_is_rounded_and_shaved() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (31, 29), np.uint8)
    clean = reference(plane, TASKS["sr"], 3)
    assert clean.shape == (30, 27)
    degraded = degraded_input(clean, TASKS["sr"], 3, seed=0, number=0)
    small = imresize(clean.astype(np.float64), (10, 9))
    np.testing.assert_allclose(degraded, imresize(small, (30, 27)))
    rounded = np.clip(np.rint(degraded), 0, 255)[3:-3, 3:-3]
    found, _ = scores(clean, degraded, TASKS["sr"], 3)
    assert found == pytest.approx(psnr(clean[3:-3, 3:-3], rounded))


def test_noise_depends_on_seed_and_image_alone() -> None:
    clean = np.full((20, 20), 100, np.uint8)

    def noisy(seed: int, number: int) -> Any:
        return degraded_input(clean, TASKS["denoise"], 25, seed=seed, number=number)

    np.testing.assert_array_equal(noisy(0, 1), noisy(0, 1))
    assert not np.array_equal(noisy(0, 1), noisy(0, 2))
    assert not np.array_equal(noisy(0, 1), noisy(1, 1))


@pytest.mark.parametrize(
    ("task", "name", "level", "system", "figures"),
    [
        ("deblock", "Classic5", 10, "MemNet", (29.69, 0.8107)),
        ("deblock", "LIVE1", 20, "TNRD", (31.46, 0.8769)),
        ("denoise", "14 images", 50, "BM3D", (26.08, 0.7427)),
        ("denoise", "BSD200", 70, "RED", (24.37, 0.6551)),
        ("sr", "Set5", 3, "DRRN", (34.03, 0.9244)),
        ("sr", "Urban100", 4, "Bicubic", (23.14, 0.6577)),
    ],
)
def test_published_figures_are_those_of_the_paper(
    task: str, name: str, level: float, system: str, figures: tuple[float, float]
) -> None:
    assert published(TASKS[task].table, name)[level][system] == figures


def test_system_without_figures_is_left_out() -> None:
    assert "LapSRN" not in published(4, "Set5")[3]
    assert published(3, "Set5") == published(0, "Set5") == {}


@pytest.mark.parametrize("name", ["classic5", "Classic-5", "S14", "B100", "bsd_200"])
def test_known_sets_are_recognized_by_the_name_of_their_folder(name: str) -> None:
    assert known_set(name) is not None
    assert known_set("mine") is None


def test_levels_are_published_ones_usual_ones_or_those_of_the_model(
    tmp_path: Path,
) -> None:
    wide = card("denoise", 5, 75, continuous=True)
    assert default_levels(wide, tmp_path / "S14") == (30, 50, 70)
    assert default_levels(card("denoise", 30, 50), tmp_path / "S14") == (30, 50)
    assert default_levels(wide, tmp_path / "mine") == (30, 50, 70)
    assert default_levels(card("denoise", 15), tmp_path / "mine") == (15,)


def test_other_images_under_a_known_name_are_refused_before_anything_is_restored(
    folder: Path, stub_engine: Stub
) -> None:
    def restore(planes: Any) -> Any:
        raise AssertionError("nothing may be restored")

    classic = folder.rename(folder.parent / "classic5")
    with pytest.raises(EvaluationError, match="holds 2 images, but Classic5 has 5"):
        list(evaluate(stub_engine(restore), card("deblock", 10), classic))
    for index in range(2, 5):
        (classic / f"{index}.png").write_bytes((classic / "0.png").read_bytes())
    with pytest.raises(EvaluationError, match=r"not 27\.82 dB .* rename the folder"):
        list(evaluate(stub_engine(restore), card("deblock", 10), classic))


def test_other_images_are_refused_at_levels_without_published_figures_too(
    folder: Path, stub_engine: Stub
) -> None:
    classic = folder.rename(folder.parent / "classic5")
    for index in range(2, 5):
        (classic / f"{index}.png").write_bytes((classic / "0.png").read_bytes())
    with pytest.raises(EvaluationError, match=r"at q 10 .* not 27\.82 dB"):
        list(evaluate(stub_engine(lambda x: x), card("deblock", 40), classic))


def test_other_images_under_the_name_of_a_noisy_set_are_refused(
    folder: Path, stub_engine: Stub
) -> None:
    renamed = folder.rename(folder.parent / "S14")
    for index in range(2, 14):
        (renamed / f"{index}.png").write_bytes((renamed / "0.png").read_bytes())
    with pytest.raises(EvaluationError, match=r"SSIM 0\.3256"):
        list(evaluate(stub_engine(lambda x: x), card("denoise", 30), renamed))


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_of_any_seed_passes_as_that_of_a_known_set(
    shared_data: Path, stub_engine: Stub, seed: int
) -> None:
    [found] = evaluate(
        stub_engine(lambda x: x),
        card("denoise", 70),
        shared_data / "bench" / "S14",
        seed=seed,
    )
    assert "BM3D" in found.published


def test_folder_is_known_by_its_name_wherever_one_stands(
    folder: Path, stub_engine: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = card("deblock", 10)
    monkeypatch.chdir(folder)
    [found] = evaluate(stub_engine(lambda x: x), model, Path("."))
    assert found.dataset == "mine"
    monkeypatch.chdir(folder.rename(folder.parent / "classic5"))
    with pytest.raises(EvaluationError, match="holds 2 images, but Classic5 has 5"):
        list(evaluate(stub_engine(lambda x: x), model, Path(".")))


@pytest.mark.parametrize(
    ("task", "level", "side"), [("deblock", 10, 11), ("sr", 2, 16), ("sr", 4, 20)]
)
def test_image_that_is_too_small_to_be_scored_is_named(
    folder: Path, stub_engine: Stub, task: str, level: float, side: int
) -> None:
    model = card(task, level)
    pixels = np.random.default_rng(0).integers(0, 256, (30, side), np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    assert len(list(evaluate(stub_engine(lambda x: x), model, folder))) == 1
    Image.fromarray(pixels[:, 1:]).save(folder / "0.png")
    with pytest.raises(ImageError, match=rf"0\.png has 30×{side - 1} px.*{side} px"):
        list(evaluate(stub_engine(lambda x: x), model, folder))


def test_quality_that_is_not_whole_is_refused(folder: Path, stub_engine: Stub) -> None:
    model = card("deblock", 5, 75, continuous=True)
    with pytest.raises(LevelError, match=r"10\.5 is no JPEG quality"):
        list(evaluate(stub_engine(lambda x: x), model, folder, [10.5]))


def test_level_that_the_model_does_not_cover_is_refused(
    folder: Path, stub_engine: Stub
) -> None:
    with pytest.raises(LevelError, match="covers q 10, not 40"):
        list(evaluate(stub_engine(lambda x: x), card("deblock", 10), folder, [40]))


def test_reports_hold_the_same_numbers(folder: Path, stub_engine: Stub) -> None:
    model = card("deblock", 10)
    [found] = evaluate(stub_engine(lambda x: x), model, folder)
    rows = list(csv.DictReader(io.StringIO(as_csv([found]))))
    data = json.loads(as_json(model, [found]))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "mean"]
    assert float(rows[2]["psnr"]) == data["evaluations"][0]["mean"]["psnr"]
    assert data["evaluations"][0]["images"][0]["psnr"] == found.images[0].psnr
    assert f"{found.mean.psnr:.2f} / {found.mean.ssim:.4f}" in as_text(model, found)


def test_perfect_result_is_valid_json(folder: Path, stub_engine: Stub) -> None:
    for index in range(2):
        flat = Image.fromarray(np.full((32, 32), 128, np.uint8))
        flat.save(folder / f"{index}.png")
    model = card("deblock", 90)
    [found] = evaluate(stub_engine(lambda x: x), model, folder)
    assert found.mean.input_psnr == float("inf")
    data = json.loads(as_json(model, [found]), parse_constant=pytest.fail)
    assert data["evaluations"][0]["mean"]["input_psnr"] is None
    assert "nan" not in as_text(model, found)


def test_blank_image_makes_no_mean_infinite(folder: Path, stub_engine: Stub) -> None:
    model = card("deblock", 90)
    [without] = evaluate(stub_engine(lambda x: x), model, folder)
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(folder / "blank.png")
    [found] = evaluate(stub_engine(lambda x: x), model, folder)
    assert len(found.images) == 3
    assert found.images[2].input_psnr == float("inf")
    assert found.mean == without.mean
    assert "(mean without 1 of 3 images that are perfect" in as_text(model, found)
    assert "mean without" not in as_text(model, without)


def test_network_is_told_the_level_and_sees_gray_pictures_in_its_channels(
    folder: Path, stub_engine: Stub
) -> None:
    told = []

    def restore(planes: Any, level: float) -> Any:
        told.append((planes.shape[1], level))
        assert (planes[:, :1] == planes).all()
        return planes

    model = card("deblock", 10, 20)
    found = list(
        evaluate(stub_engine(restore, channels=3, level_map=True), model, folder)
    )
    values = [TASKS["deblock"].level_map_value(q) for q in (10, 20)]
    assert told == [(3, value) for value in values for _ in range(2)]
    for evaluation in found:
        assert evaluation.mean.psnr == pytest.approx(evaluation.mean.input_psnr)


@pytest.mark.parametrize("shape", [{}, {"image_channels": 3, "level_map": True}])
def test_scores_are_those_of_the_network(
    folder: Path, random_network: Callable[..., Any], shape: dict[str, Any]
) -> None:
    import torch

    from memnet_core.inference.engine import Engine

    network = random_network(
        memory_blocks=2, recursions=1, channels=4, unshuffle=2, **shape
    )
    model = card("denoise", 25)
    [found] = evaluate(Engine(network, device="cpu"), model, folder)
    plane = np.asarray(Image.open(folder / "0.png").convert("L"))
    degraded = degraded_input(plane, TASKS["denoise"], 25, seed=0, number=0)
    x = torch.from_numpy((degraded / 255).astype(np.float32))[None, None]
    if shape:
        x = torch.cat([x] * 3 + [torch.full_like(x, 25 / 255)], 1)
    with torch.no_grad():
        restored = 255 * network(x).output[0].mean(0).numpy()
    expected, _ = scores(plane, restored, TASKS["denoise"], 25)
    assert found.images[0].psnr == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("task", "name"), [("sr", "Set5"), ("denoise", "S14")])
def test_known_sets_have_their_published_baselines(
    shared_data: Path, stub_engine: Stub, task: str, name: str
) -> None:
    levels = (2,) if task == "sr" else (30,)
    [found] = evaluate(
        stub_engine(lambda x: x), card(task, *levels), shared_data / "bench" / name
    )
    assert "MemNet" in found.published


def test_plot_has_a_line_for_each_set_and_each_better_published_system(
    folder: Path, stub_engine: Stub
) -> None:
    model = card("deblock", 10, 20)
    found = list(evaluate(stub_engine(lambda x: x), model, folder))
    better = found[0].mean.psnr + 1
    found[0] = replace(found[0], published={"ARCNN": (better, None), "JPEG": (0, None)})
    [axes] = draw_gains(model, found).axes
    lines = {str(line.get_label()): line.get_xydata() for line in axes.get_lines()}
    own = f"{model.name}, {folder.name}"
    assert set(lines) == {own, f"ARCNN, {folder.name} (published)"}
    gains = [e.mean.psnr - e.mean.input_psnr for e in found]
    np.testing.assert_allclose(np.asarray(lines[own]), np.transpose([(10, 20), gains]))
