"""Going on: from a model that is there, and with a run that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch

from memnet_core.errors import ModelError, TrainingError
from memnet_core.model.checkpoint import load_model
from memnet_core.training import finetune
from memnet_core.training.checkpoint import read_state
from memnet_core.training.events import StepDone, Validated
from memnet_core.training.finetune import is_small_dataset
from memnet_core.training.loop import STATE_FILE, Trainer
from memnet_core.training.recipes import config_from, config_of_run, write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]
    Install = Callable[..., Path]


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
