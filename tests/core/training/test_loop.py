from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from memnet_core.checkpoint import Levels, save_model
from memnet_core.errors import TrainingError
from memnet_core.network import Architecture, MemNet, Prediction
from memnet_core.training import loop
from memnet_core.training.loop import (
    Finished,
    Progress,
    Trainer,
    Validated,
    memnet_loss,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]


def finished(trainer: Trainer) -> Finished:
    *_, last = trainer.run()
    assert isinstance(last, Finished)
    return last


def test_loss_is_that_of_equation_12() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, output, y1, y2, y3 = torch.rand(5, 2, 1, 4, 4, generator=generator)
    loss = memnet_loss(Prediction(output, (y1, y2, y3)), clean, squared=True)
    halves = [0.5 * float(((y - clean) ** 2).mean()) for y in (output, y1, y2, y3)]
    alpha = 1 / 4
    expected = alpha * halves[0] + (1 - alpha) / 3 * sum(halves[1:])
    assert float(loss) == pytest.approx(expected)


def test_loss_without_supervision_is_that_of_the_output() -> None:
    clean, output = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5)
    prediction = Prediction(output, ())
    assert float(memnet_loss(prediction, clean, squared=True)) == pytest.approx(0.125)
    charbonnier = math.sqrt(0.25 + 1e-6)
    assert float(memnet_loss(prediction, clean, squared=False)) == pytest.approx(
        charbonnier
    )


def test_run_reports_validates_and_improves(
    make_config: Make, clean_images: Path
) -> None:
    config = make_config(minutes=2 / 60, validation=clean_images, validate_every=0.7)
    events = list(Trainer(config).run())
    progress = [e for e in events if isinstance(e, Progress)]
    validated = [e for e in events if isinstance(e, Validated)]
    last = events[-1]
    assert isinstance(last, Finished)
    assert [e.step for e in progress] == sorted({e.step for e in progress})
    assert all(0 < e.fraction <= 1 for e in progress)
    assert progress[-1].learning_rate < progress[0].learning_rate
    assert last.megapixels == pytest.approx(last.steps * 2 * 16 * 16 / 1e6)
    assert set(validated[-1].psnr) == {10, 20, 40}
    assert validated[-1].psnr[10] > validated[0].psnr[10] + 1
    assert validated[-1].input_psnr[10] < validated[-1].input_psnr[40]
    assert not last.model.training


def test_closed_run_goes_on_where_it_ended(make_config: Make) -> None:
    config = make_config(report_every=0.05)
    first = Trainer(config)
    events = first.run()
    ended = next(events)
    assert isinstance(ended, Progress)
    events.close()
    second = Trainer(config)
    reported = next(second.run())
    assert isinstance(reported, Progress)
    assert reported.step > ended.step
    assert reported.minutes > ended.minutes


def test_finished_run_is_not_repeated(make_config: Make) -> None:
    config = make_config(minutes=0.005)
    steps = finished(Trainer(config)).steps
    again = Trainer(config)
    assert [type(event) for event in again.run()] == [Finished]
    assert finished(Trainer(config)).steps == steps


def test_folder_of_another_run_is_refused(make_config: Make) -> None:
    finished(Trainer(make_config(minutes=0.005)))
    with pytest.raises(TrainingError, match="holds a run with other settings"):
        Trainer(make_config(minutes=0.005, seed=1))


def test_damaged_state_is_refused(make_config: Make) -> None:
    config = make_config()
    (config.out / "last.pt").write_bytes(b"PK\3\4 no state")
    with pytest.raises(TrainingError, match="is not the state of a run"):
        Trainer(config)


def test_recalibrated_statistics_are_those_of_the_data(make_config: Make) -> None:
    config = make_config(minutes=0.01, recalibration_batches=30, freeze_norm_from=1)
    trainer = Trainer(config)
    model = finished(trainer).model
    seen: list[torch.Tensor] = []
    first = model.blocks[0].recursive.norm1[0]  # type: ignore[union-attr, index]
    assert isinstance(first, nn.BatchNorm2d)
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for step in range(30):
            model(trainer._sampler.batch(2**40 + step, 16, 2)[0])
    mean = torch.cat(seen).mean((0, 2, 3))
    assert first.running_mean is not None
    torch.testing.assert_close(first.running_mean, mean, rtol=1e-3, atol=1e-4)


def test_average_of_a_short_run_forgets_the_untrained_weights(
    make_config: Make,
) -> None:
    trainer = Trainer(make_config(average_decay=0.9999, learning_rate=1e-2))
    untrained = trainer.averaged_model().fenet.weight.clone()
    averaged = finished(trainer).model.fenet.weight
    trained = trainer._model.fenet.weight
    assert (averaged - trained).norm() < 0.5 * (untrained - trained).norm()


def test_norms_are_frozen_towards_the_end(make_config: Make) -> None:
    trainer = Trainer(make_config(freeze_norm_from=0.0))
    model = finished(trainer).model
    tracked = [
        int(norm.num_batches_tracked)
        for norm in model.modules()
        if isinstance(norm, nn.BatchNorm2d) and norm.num_batches_tracked is not None
    ]
    assert set(tracked) == {3}


def test_loss_that_is_not_finite_ends_the_run_with_advice(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan(prediction: Prediction, clean: torch.Tensor, *, squared: bool) -> object:
        return prediction.output.sum() * float("nan")

    monkeypatch.setattr(loop, "memnet_loss", nan)
    with pytest.raises(TrainingError, match="lower learning rate"):
        finished(Trainer(make_config()))


def test_run_starts_from_a_model(make_config: Make, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = MemNet(Architecture(memory_blocks=2, recursions=1, channels=4))
    path = tmp_path / "start.safetensors"
    save_model(
        path,
        model,
        name="start",
        task="deblock",
        levels=Levels(values=(5, 75), continuous=True),
        version="1",
        licence="BSD-3-Clause",
    )
    trainer = Trainer(make_config(start=path))
    for name, parameter in trainer.averaged_model().named_parameters():
        assert parameter.equal(model.get_parameter(name))
    with pytest.raises(TrainingError, match="another architecture"):
        Trainer(make_config(start=path, architecture={"channels": 5}))
