from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from memnet_core.cli import main
from memnet_core.errors import TrainingError
from memnet_core.noise.file import load_noise_network
from memnet_core.noise.network import NONE
from memnet_core.training.data.noise_samples import (
    SIGMAS,
    NoiseSamples,
    local_deviation,
)
from memnet_core.training.events import StepDone, TrainingProgress
from memnet_core.training.noise_recipe import NoiseRecipe, NoiseTrainer, noise_loss

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pictures() -> list[Any]:
    """Smooth pictures in color."""
    rng = np.random.default_rng(0)
    small = [Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)) for _ in "123"]
    return [np.asarray(p.resize((180, 170), Image.Resampling.BICUBIC)) for p in small]


@pytest.fixture
def folder(tmp_path: Path, pictures: list[Any]) -> Path:
    place = tmp_path / "clean"
    place.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(place / f"{number}.png")
    return place


def test_batches_follow_from_seed_and_number(pictures: list[Any]) -> None:
    first, again, other = (
        NoiseSamples(pictures, seed).batch(3, 64, 6) for seed in (1, 1, 2)
    )
    assert first[0].shape == (6, 1, 64, 64)
    assert first[1].shape == (6, 1, 8, 8)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_samples_hold_clean_patches_and_all_levels(pictures: list[Any]) -> None:
    _, maps = NoiseSamples(pictures, 0).batch(0, 64, 150)
    sigmas = (maps.exp() - NONE).square().mean((1, 2, 3)).sqrt()
    assert torch.isfinite(maps).all()
    clean = float((sigmas < 1e-3).float().mean())
    assert 0.15 < clean < 0.4
    counts, _ = np.histogram(
        sigmas[sigmas > 1e-3], [SIGMAS[0] / 3, 2, 15, 4 * SIGMAS[1]]
    )
    assert counts.min() > 15


def test_noise_of_flat_gray_patches_is_what_the_map_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is nothing but noise, its map is the deviation of the pixels."""
    for share in ("MADE", "FLAT", "HALFTONE", "BESIDE_BRIGHT", "COARSE"):
        name = f"memnet_core.training.data.noise_samples._{share}_SHARE"
        monkeypatch.setattr(name, 0.0)
    gray = [np.full((200, 200, 3), 128, np.uint8)]
    planes, maps = NoiseSamples(gray, 5).batch(0, 64, 120)
    sigmas = (maps.exp() - NONE).square().mean((1, 2, 3)).sqrt().numpy()
    seen = 255 * planes.double().std((1, 2, 3)).numpy()
    noisy = sigmas > 3
    off = np.abs(np.log(seen[noisy] / sigmas[noisy]))
    assert np.median(off) < 0.05


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_local_deviation_is_that_of_the_noise_around_a_cell(sigma: float) -> None:
    rng = np.random.default_rng(0)
    noise = sigma * rng.standard_normal((64, 80))
    noise[:, 40:] *= 5
    found = local_deviation(noise)
    assert found.shape == (8, 10)
    np.testing.assert_allclose(found[:, :4], sigma, rtol=0.15)
    np.testing.assert_allclose(found[:, 6:], 5 * sigma, rtol=0.15)


def test_the_loss_counts_a_bias_of_the_mean_twice() -> None:
    true = torch.zeros(2, 1, 4, 4)
    assert float(noise_loss(true + 0.5, true)) == pytest.approx(1.0)
    balanced = torch.tensor([0.5, -0.5]).repeat(8).view(1, 1, 4, 4)
    assert float(noise_loss(balanced, true[:1])) == pytest.approx(0.5)


def test_twenty_steps_lower_the_loss_the_same_way_each_time(
    folder: Path, pictures: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "memnet_core.training.noise_recipe"
    monkeypatch.setattr(f"{module}._REPORT_EVERY", 0.0)
    monkeypatch.setattr(f"{module}._PHASES", ((0.7, 32, 6), (1.0, 64, 2)))
    monkeypatch.setattr(f"{module}._CHECKED_BATCHES", 1)
    planes, maps = NoiseSamples(pictures, 9).batch(0, 64, 24)
    losses, cards = [], []
    for name, steps in (("none", 1), ("a", 20), ("b", 20)):
        recipe = NoiseRecipe((folder,), tmp_path / name, "noise", steps=steps)
        events = list(NoiseTrainer(recipe, "cpu").run())
        assert sum(isinstance(event, TrainingProgress) for event in events) == steps
        network, card = load_noise_network(recipe.file)
        with torch.inference_mode():
            losses.append(float(noise_loss(network(planes), maps)))
        cards.append(card)
    untrained, trained, again = losses
    assert trained == again < 0.9 * untrained
    assert cards[1].sha256 == cards[2].sha256
    assert cards[1].training.steps == 20


def test_a_run_that_is_stopped_leaves_a_model(folder: Path, tmp_path: Path) -> None:
    recipe = NoiseRecipe((folder,), tmp_path / "run", "noise", minutes=60)
    trainer = NoiseTrainer(recipe, "cpu")
    run = trainer.run()
    assert isinstance(next(run), StepDone)
    run.close()
    _, card = load_noise_network(recipe.file)
    assert card.training.steps == trainer.step == 1


def test_a_run_goes_on_from_another_model(folder: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"steps": 1, "learning_rate": 1e-9}
    first = NoiseRecipe((folder,), tmp_path / "run", "first", **fields)
    list(NoiseTrainer(first, "cpu").run())
    more = NoiseRecipe(
        (folder,), tmp_path / "run", "more", seed=5, start=str(first.file), **fields
    )
    list(NoiseTrainer(more, "cpu").run())
    (before, _), (after, card) = map(load_noise_network, (first.file, more.file))
    assert card.training.started_from == "first.safetensors"
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(new, old, atol=1e-5, rtol=0)


def test_a_model_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    recipe = NoiseRecipe((folder,), tmp_path, "noise", steps=1)
    recipe.file.write_bytes(b"mine")
    with pytest.raises(TrainingError, match="exists already; choose another"):
        NoiseTrainer(recipe, "cpu")
    assert recipe.file.read_bytes() == b"mine"


def test_pictures_that_are_too_small_are_said(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((90, 300), np.uint8)).save(tmp_path / "small.png")
    recipe = NoiseRecipe((tmp_path,), tmp_path / "run", "noise", steps=1)
    with pytest.raises(TrainingError, match="both sides of at least 160 px"):
        NoiseTrainer(recipe, "cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--task", "denoise"], "takes no task"),
        (["--levels", "5-75"], "takes no levels"),
        (["--resume"], "takes no resume"),
        (["--level-map"], "takes no level map"),
        (["--minutes", "1"], "either --minutes or --steps"),
        (["--name", "../x"], "A name begins|a name begins"),
    ],
)
def test_settings_of_other_recipes_are_refused(
    folder: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    run = ["train", "--recipe", "noise", "--data", str(folder), "--steps", "1"]
    out = ["--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*run, *out, *options])
    assert result.exit_code == 2, result.output
    assert said.split("|")[0] in result.output or said.split("|")[-1] in result.output
    assert not (tmp_path / "run").exists()
