"""Going on: from a model that is there, and with a run that is over."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch

from memnet_core.errors import ModelError, TrainingError
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import load_model
from memnet_core.training import finetune
from memnet_core.training.checkpoint import read_state
from memnet_core.training.events import StepDone, Validated
from memnet_core.training.finetune import expand_model, is_small_dataset
from memnet_core.training.loop import STATE_FILE, Trainer
from memnet_core.training.recipes import config_from, config_of_run, write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.model.network import MemNet
    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]
    Install = Callable[..., Path]


SMALL = Architecture(memory_blocks=2, recursions=2, channels=4)


@pytest.fixture
def tune(clean_images: Path, tmp_path: Path, models_folder: Path) -> Callable[..., Any]:
    """Configure a short run of the recipe ``tune``."""

    def tune(**changes: Any) -> TrainingConfig:
        settings: dict[str, Any] = {
            "recipe": "tune",
            "data": [clean_images],
            "out": tmp_path / "run",
            "steps": 4,
            "phases": [{"until": 1, "patch": 16, "batch": 2}],
            "validations": 1,
        }
        config = config_from({**settings, **changes})
        config.out.mkdir(exist_ok=True)
        return config

    return tune


def test_tuned_model_is_of_the_kind_that_it_starts_from(
    tune: Callable[..., TrainingConfig], install: Install
) -> None:
    path = install("mine", 10, 50, task="denoise", level_map=True)
    config = tune(start="mine")
    _, card = load_model(path)
    assert (config.task, config.levels) == ("denoise", card.levels)
    assert config.architecture == card.architecture
    with pytest.raises(TrainingError, match="'mine' to start from is for denoise"):
        tune(start="mine", task="deblock")


def test_tuning_starts_from_the_model_that_ships(
    tune: Callable[..., TrainingConfig], install: Install, models_folder: Path
) -> None:
    with pytest.raises(ModelError, match="No model for denoise ships"):
        tune(task="denoise")
    install("mine", 10, 50, task="denoise")
    shipped = install("noise", 5, 75, task="denoise")
    shipped.rename(models_folder.with_name("shipped") / shipped.name)
    assert tune(task="denoise").start == "noise"
    assert tune(task="denoise", start=None).start == "noise"


def test_shipped_model_to_start_from_has_as_many_channels_as_are_trained(
    tune: Callable[..., TrainingConfig], install: Install, models_folder: Path
) -> None:
    shipped = models_folder.with_name("shipped")
    shipped.mkdir(exist_ok=True)
    for name, channels in (("a-color", 3), ("b-gray", 1)):
        file = install(name, 5, 50, task="denoise", image_channels=channels)
        file.rename(shipped / file.name)
    assert tune(task="denoise").start == "b-gray"
    assert tune(task="denoise", architecture={"image_channels": 3}).start == "a-color"


def test_tuning_begins_with_what_the_model_does_and_keeps_its_statistics(
    tune: Callable[..., TrainingConfig], install: Install
) -> None:
    path = install("mine", 10, 50, task="denoise")
    model, _ = load_model(path)
    checks = [e for e in Trainer(tune(start="mine")).run() if isinstance(e, Validated)]
    assert [event.step for event in checks] == [0, 4]
    first, last = (event.model.state_dict() for event in checks)
    for name, tensor in model.state_dict().items():
        assert first[name].equal(tensor), name
        if "running" in name:
            assert last[name].equal(tensor), name
    assert not last["fenet.weight"].equal(model.fenet.weight)


def test_finished_run_can_be_made_longer(make_config: Make) -> None:
    config = make_config(steps=4, validations=2, freeze_norm_from=0.7)
    write_config(config)
    first = list(Trainer(config).run())
    longer = config_of_run(config.out, steps=8)
    trainer = Trainer(longer)
    assert "longer than it was" in trainer.remark
    events = list(trainer.run())
    assert [e.step for e in events if isinstance(e, StepDone)] == [5, 6, 7, 8]
    curve = [e for e in events if isinstance(e, Validated)][-1].curve
    assert len(curve) == 3
    best = max(e.psnr["q 10"] for e in first if isinstance(e, Validated))
    assert [p.psnr["q 10"] for p in curve[:2]].count(best) == 1
    assert read_state(longer.out / STATE_FILE, torch.device("cpu"))["step"] == 8


def test_normalization_learns_again_in_a_run_that_became_longer(
    make_config: Make,
) -> None:
    shape = {"memory_blocks": 2, "recursions": 1, "channels": 4, "unshuffle": 1}
    config = make_config(
        architecture=shape | {"batch_norm": True}, steps=4, freeze_norm_from=0.7
    )
    write_config(config)
    list(Trainer(config).run())
    trainer = Trainer(config_of_run(config.out, steps=12))
    before = trainer._model.reconnet.norm[0].running_mean.clone()
    list(trainer.run(stop_at=6))
    assert not trainer._model.reconnet.norm[0].running_mean.equal(before)


def test_run_cannot_become_shorter_or_other(make_config: Make) -> None:
    config = make_config(steps=4)
    write_config(config)
    list(Trainer(config).run())
    with pytest.raises(TrainingError, match="has 4 steps already; give more"):
        config_of_run(config.out, steps=4)
    with pytest.raises(TrainingError, match="one of minutes, steps and epochs"):
        config_of_run(config.out, minutes=4)
    with pytest.raises(TrainingError, match=r"other settings \(seed\)"):
        Trainer(make_config(steps=8, seed=3))


def test_few_data_are_told_by_their_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 100, 60), np.uint16))
    monkeypatch.setattr(finetune, "FEW_MEGAPIXELS", 0.03)
    assert is_small_dataset([tmp_path])
    assert not is_small_dataset([tmp_path, tmp_path])


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("blocks", "recursions"), [(2, 2), (4, 2), (2, 3), (3, 5)])
def test_grown_network_computes_the_same(
    random_network: Callable[..., MemNet],
    blocks: int,
    recursions: int,
    batch_norm: bool,
) -> None:
    small = replace(SMALL, batch_norm=batch_norm)
    model = random_network(**asdict(small)).eval()
    target = replace(small, memory_blocks=blocks, recursions=recursions)
    larger = expand_model(model, target).eval()
    assert larger.architecture == target
    x = torch.rand(1, 1, 12, 15)
    with torch.no_grad():
        torch.testing.assert_close(larger(x).output, model(x).output)
        for one, other in zip(
            larger(x).intermediate, model(x).intermediate, strict=False
        ):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("fenet_norm", [False, True])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_level_that_is_new_changes_nothing_at_first(
    random_network: Callable[..., MemNet],
    unshuffle: int,
    fenet_norm: bool,
    image_channels: int,
) -> None:
    shape = replace(
        SMALL,
        unshuffle=unshuffle,
        fenet_norm=fenet_norm,
        image_channels=image_channels,
    )
    model = random_network(**asdict(shape)).eval()
    told = expand_model(model, replace(shape, level_map=True)).eval()
    x = torch.rand(2, image_channels, 10, 12)
    with torch.no_grad():
        expected = model(x).output
        for level in (0.0, 0.3, 1.0):
            plane = torch.full_like(x[:, :1], level)
            found = told(torch.cat([x, plane], 1)).output
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    weight = told.fenet.weight
    assert not weight[:, -(unshuffle**2) :].any()
    assert weight[:, : -(unshuffle**2)].equal(model.fenet.weight)


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("fenet_norm", [False, True])
@pytest.mark.parametrize("level_map", [(False, False), (False, True), (True, True)])
def test_network_for_color_makes_of_gray_pictures_what_the_one_for_gray_does(
    random_network: Callable[..., MemNet],
    unshuffle: int,
    fenet_norm: bool,
    level_map: tuple[bool, bool],
) -> None:
    before, after = level_map
    shape = replace(SMALL, unshuffle=unshuffle, fenet_norm=fenet_norm, level_map=before)
    model = random_network(**asdict(shape)).eval().double()
    target = replace(shape, image_channels=3, level_map=after, memory_blocks=3)
    color = expand_model(model, target).eval().double()
    x = torch.rand(2, 1, 10, 12, dtype=torch.float64)
    level = torch.full_like(x, 0.4)
    gray_input = torch.cat([x, level], 1) if before else x
    planes = torch.cat([x, x, x, *([level] if after else [])], 1)
    with torch.no_grad():
        expected = model(gray_input).output
        found = color(planes).output
    assert found.shape == (2, 3, 10, 12)
    # Weights are kept as float32: a third of one is rounded.
    torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=1e-5)


def test_level_of_chroma_that_is_new_changes_nothing_at_first(
    random_network: Callable[..., MemNet],
) -> None:
    shape = replace(SMALL, unshuffle=2, image_channels=3, level_map=True)
    model = random_network(**asdict(shape)).eval().double()
    larger = expand_model(model, replace(shape, chroma_level=True)).eval().double()
    x = torch.rand(2, 5, 10, 12, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(larger(x).output, model(x[:, :4]).output)


def test_network_for_color_sees_colors_that_are_equally_bright(
    random_network: Callable[..., MemNet],
) -> None:
    color = expand_model(
        random_network(**asdict(SMALL)), replace(SMALL, image_channels=3)
    )
    flat = torch.full((1, 3, 8, 8), 0.5)
    tinted = flat + torch.tensor([0.3, -0.3, 0.0])[:, None, None]
    features = color.fenet(flat), color.fenet(tinted)
    assert float((features[0] - features[1]).detach().abs().max()) > 0.01


def test_what_is_new_can_learn(
    random_network: Callable[..., MemNet],
) -> None:
    larger = expand_model(
        random_network(**asdict(SMALL)), replace(SMALL, memory_blocks=3, recursions=3)
    )
    prediction = larger(torch.rand(2, 1, 8, 8))
    torch.stack([prediction.output, *prediction.intermediate]).square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in larger.parameters())
    new = larger.blocks[0].gate.conv.weight.grad  # type: ignore[union-attr]
    assert isinstance(new, torch.Tensor)
    assert float(new[:, -4:].abs().max()) > 0


@pytest.mark.parametrize(
    "change",
    [{"memory_blocks": 1}, {"recursions": 1}, {"channels": 8}, {"unshuffle": 2}],
    ids=str,
)
def test_other_architectures_are_refused(
    random_network: Callable[..., MemNet], change: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="fewer memory blocks or recursions"):
        expand_model(random_network(**asdict(SMALL)), replace(SMALL, **change))


@pytest.mark.parametrize("lost", [{"level_map": True}, {"image_channels": 3}], ids=str)
def test_level_map_and_color_are_not_taken_away(
    random_network: Callable[..., MemNet], lost: dict[str, Any]
) -> None:
    larger = random_network(**asdict(replace(SMALL, **lost)))
    with pytest.raises(TrainingError, match="without a level map, or for gray planes"):
        expand_model(larger, SMALL)
