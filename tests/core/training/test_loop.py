from __future__ import annotations

import copy
import itertools
import math
import shutil
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from memnet_core.errors import TrainingError
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.model.network import MemNet
from memnet_core.progress import Notice
from memnet_core.tasks import Levels
from memnet_core.training import loop
from memnet_core.training.checkpoint import read_state
from memnet_core.training.distributed import norms, recalibrate
from memnet_core.training.events import Finished, StepDone, TrainingProgress, Validated
from memnet_core.training.loop import STATE_FILE, Trainer
from memnet_core.training.runner import model_file, train_session
from memnet_core.training.validation import RESERVED_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

CPU = torch.device("cpu")
NORMED = {
    "memory_blocks": 2,
    "recursions": 1,
    "channels": 4,
    "unshuffle": 1,
    "batch_norm": True,
}
"""A network with BatchNorm, as the paper has it."""
EVENTFUL: dict[str, Any] = {
    "phases": [
        {"until": 0.5, "patch": 16, "batch": 2},
        {"until": 1, "patch": 24, "batch": 2},
    ],
    "steps": 8,
    "squared_error_from": 0.6,
    "freeze_norm_from": 0.7,
    "validations": 2,
}


def finished(trainer: Trainer) -> Finished:
    *_, last = trainer.run()
    assert isinstance(last, Finished)
    return last


def validated(trainer: Trainer) -> list[Validated]:
    return [event for event in trainer.run() if isinstance(event, Validated)]


def state(config: TrainingConfig) -> dict[str, Any]:
    loaded = read_state(config.out / STATE_FILE, CPU)
    return {key: value for key, value in loaded.items() if key != "seconds"}


def assert_same_state(one: Any, other: Any, where: str = "state") -> None:
    if isinstance(one, torch.Tensor):
        assert one.equal(other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"minutes"}:
            assert_same_state(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same_state(a, b, f"{where}[{number}]")
    else:
        assert one == other, where


def test_run_reports_validates_and_improves(make_config: Make) -> None:
    config = make_config(
        steps=150, validations=10, report_every=0.2, learning_rate=2e-3
    )
    events = list(Trainer(config).run())
    assert [e.step for e in events if isinstance(e, StepDone)] == list(range(1, 151))
    progress = [e for e in events if isinstance(e, TrainingProgress)]
    assert all(0 < e.fraction <= 1 for e in progress)
    assert all(e.minutes_left >= 0 and e.patches_per_second > 0 for e in progress)
    checks = [e for e in events if isinstance(e, Validated)]
    assert [event.step for event in checks] == list(range(15, 151, 15))
    first, *_, second = checks
    assert set(second.psnr) == {"q 10", "q 20", "q 40"}
    assert second.psnr["q 10"] > first.psnr["q 10"]
    assert second.input_psnr["q 10"] < second.input_psnr["q 40"]
    best = max(sum(event.psnr.values()) for event in checks)
    assert sum([e for e in checks if e.is_best][-1].psnr.values()) == best
    assert [point.psnr for point in second.curve] == [event.psnr for event in checks]
    assert not second.model.training
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.megapixels == pytest.approx(150 * 2 * 16 * 16 / 1e6)


@pytest.mark.parametrize("recipe", ["fast", "paper"])
@pytest.mark.parametrize("pause", [1, 3, 5, 7])
def test_run_in_two_sittings_is_that_in_one_bit_by_bit(
    make_config: Make, tmp_path: Path, recipe: str, pause: int
) -> None:
    settings = EVENTFUL if recipe == "fast" else {"recipe": "paper", "steps": 8}
    at_once, paused = (
        make_config(**settings, out=tmp_path / folder, name="x")
        for folder in ("one", "two")
    )
    finished(Trainer(at_once))
    *_, last = Trainer(paused).run(stop_at=pause)
    assert last == StepDone(pause) or isinstance(last, Validated)
    assert state(paused)["step"] == pause
    finished(Trainer(paused))
    assert_same_state(state(at_once), state(paused))


def test_pause_at_a_step_that_is_over_takes_no_further_step(make_config: Make) -> None:
    config = make_config()
    list(Trainer(config).run(stop_at=4))
    assert list(Trainer(config).run(stop_at=2)) == []
    assert state(config)["step"] == 4


def test_run_that_is_closed_goes_on_where_it_ended(
    make_config: Make, tmp_path: Path
) -> None:
    at_once = make_config(**EVENTFUL, out=tmp_path / "one", name="x")
    closed = make_config(**EVENTFUL, out=tmp_path / "two", name="x")
    finished(Trainer(at_once))
    events = Trainer(closed).run()
    for _ in range(4):
        next(events)
    events.close()
    assert 0 < state(closed)["step"] < 8
    finished(Trainer(closed))
    assert_same_state(state(at_once), state(closed))


def test_run_by_the_clock_follows_it(make_config: Make) -> None:
    config = make_config(steps=None, minutes=1 / 60, report_every=0.1)
    events = list(Trainer(config).run())
    fractions = [e.fraction for e in events if isinstance(e, TrainingProgress)]
    assert fractions == sorted(fractions)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.minutes >= 1 / 60


def test_first_validation_after_a_resume_does_not_replace_a_better_model(
    make_config: Make,
) -> None:
    config = make_config(steps=4, validations=4, learning_rate=1e-2, warmup_steps=0)
    before = list(Trainer(config).run(stop_at=2))
    best = max(
        sum(event.psnr.values()) / len(event.psnr)
        for event in before
        if isinstance(event, Validated)
    )
    saved = read_state(config.out / STATE_FILE, CPU)
    assert saved["best"] == best
    resumed = Trainer(config)
    resumed._best += 20  # a better model than any that may come
    list(resumed.run(stop_at=2))
    later = [event.is_best for event in validated(Trainer(config))]
    assert later == [False, False]


def test_file_of_a_better_model_outlives_a_resume(make_config: Make) -> None:
    config = make_config(steps=4, validations=4)
    trainer = Trainer(config)
    for event in train_session(trainer, stop_at=1):
        if isinstance(event, Validated):
            trainer._best += 20
    kept = model_file(config).read_bytes()
    assert [type(event) for event in train_session(Trainer(config))][-1] is Finished
    assert model_file(config).read_bytes() == kept


def test_small_images_are_told_before_anything_else(
    make_config: Make, clean_images: Path
) -> None:
    for side in (12, 20):
        picture = Image.fromarray(np.full((side, 96), side, np.uint8))
        picture.save(clean_images / f"small{side}.png")
    phases = [{"until": 1, "patch": 32, "batch": 2}]
    config = make_config(task="denoise", steps=1, phases=phases)
    trainer = Trainer(config)
    assert trainer.images == 4
    first, *_ = train_session(trainer)
    assert isinstance(first, Notice)
    assert "1 of 5 images to train on are left out" in first.text
    assert "1 images to train on have a side of less than 32 px" in first.text


def test_blank_image_spoils_no_validation(
    make_config: Make, clean_images: Path, tmp_path: Path
) -> None:
    held_out = tmp_path / "held-out"
    shutil.copytree(clean_images, held_out)
    without = validated(Trainer(make_config(steps=1, validation=[held_out])))[0]
    Image.fromarray(np.full((96, 96), 128, np.uint8)).save(held_out / "blank.png")
    config = make_config(steps=1, validation=[held_out], out=tmp_path / "other")
    with_blank = validated(Trainer(config))[0]
    assert with_blank.input_psnr == without.input_psnr
    assert all(map(math.isfinite, with_blank.psnr.values()))
    for index in range(3):
        shutil.copy(held_out / "blank.png", held_out / f"{index}.png")
    with pytest.raises(TrainingError, match="At q 10 the images to validate on stay"):
        Trainer(make_config(validation=[held_out], out=tmp_path / "third"))


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_network_with_a_level_map_learns_and_is_told_the_level(
    make_config: Make, optimizer: str
) -> None:
    shape = {"memory_blocks": 1, "recursions": 1, "channels": 4, "unshuffle": 1}
    config = make_config(
        architecture={**shape, "level_map": True}, optimizer=optimizer, steps=3
    )
    [event] = validated(Trainer(config))
    assert event.model.architecture.level_map
    assert set(event.psnr) == {"q 10", "q 20", "q 40"}
    assert math.isfinite(event.evaluation_loss)


def test_time_that_validations_take_is_not_training_time(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr(loop, "time", clock)
    config = make_config(steps=4, validations=4, report_every=1)
    for event in Trainer(config).run():
        if isinstance(event, Validated):
            for _ in range(1000):
                clock.monotonic()
        if isinstance(event, TrainingProgress):
            assert event.patches_per_second > 0.1
    assert isinstance(event, Finished)
    assert event.minutes < 1


def test_finished_run_is_not_repeated(make_config: Make) -> None:
    config = make_config()
    finished(Trainer(config))
    assert [type(event) for event in Trainer(config).run()] == [Finished]


def test_run_that_was_closed_before_its_last_validation_makes_up_for_it(
    make_config: Make,
) -> None:
    config = make_config(steps=2)
    events = Trainer(config).run()
    next(events)
    assert next(events) == StepDone(2)
    events.close()
    assert [type(event) for event in Trainer(config).run()] == [Validated, Finished]


def test_folder_of_another_run_is_refused(make_config: Make) -> None:
    finished(Trainer(make_config(steps=1)))
    with pytest.raises(TrainingError, match=r"a run with other settings \(seed\)"):
        Trainer(make_config(steps=1, seed=1))


@pytest.mark.parametrize("use", ["train", "validate"])
def test_run_does_not_go_on_with_other_images(
    make_config: Make, clean_images: Path, tmp_path: Path, use: str
) -> None:
    held_out = tmp_path / "held-out"
    shutil.copytree(clean_images, held_out)
    config = make_config(validation=[held_out])
    list(Trainer(config).run(stop_at=1))
    changed = clean_images if use == "train" else held_out
    shutil.copy(changed / "0.png", changed / "3.png")
    with pytest.raises(TrainingError, match=f"images to {use} on are not those of"):
        Trainer(config)


def test_change_of_threads_is_remarked(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    trainer = Trainer(config)
    assert trainer.remark == ""
    list(trainer.run(stop_at=1))
    assert Trainer(config).remark == ""
    now = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: now + 1)
    assert f"had {now} threads and has {now + 1}" in Trainer(config).remark


def test_change_of_threads_is_not_remarked_where_the_clock_decides_anyway(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(steps=None, minutes=5)
    list(Trainer(config).run(stop_at=1))
    now = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: now + 1)
    assert Trainer(config).remark == ""


def test_losses_keep_one_error_where_training_changes_it(make_config: Make) -> None:
    checks = validated(
        Trainer(
            make_config(
                loss="charbonnier",
                validations=6,
                squared_error_from=0.4,
                learning_rate=1e-12,
            )
        )
    )
    evaluation = [event.evaluation_loss for event in checks]
    assert evaluation == pytest.approx([evaluation[0]] * 6, rel=0.01)
    training = [event.training_loss for event in checks]
    assert max(training) < 5 * min(training)


def test_damaged_state_is_refused(make_config: Make) -> None:
    config = make_config()
    (config.out / STATE_FILE).write_bytes(b"PK\3\4 no state")
    with pytest.raises(TrainingError, match="is not the state of a run"):
        Trainer(config)


def test_recalibrated_statistics_are_those_of_the_data(make_config: Make) -> None:
    config = make_config(
        architecture=NORMED, recalibration_batches=30, freeze_norm_from=1
    )
    trainer = Trainer(config)
    model = validated(trainer)[-1].model
    seen: list[torch.Tensor] = []
    first = model.blocks[0].recursive.norm1[0]  # type: ignore[union-attr, index]
    assert isinstance(first, nn.BatchNorm2d)
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for number in range(30):
            step = RESERVED_STEPS + number
            model(trainer._sampler.batch(step, 16, range(2))[0])
    mean = torch.cat(seen).mean((0, 2, 3))
    assert first.running_mean is not None
    torch.testing.assert_close(first.running_mean, mean, rtol=1e-3, atol=1e-4)


def test_average_of_a_short_run_forgets_the_untrained_weights(
    make_config: Make,
) -> None:
    trainer = Trainer(make_config(steps=40, average_decay=0.9999, learning_rate=1e-2))
    untrained = trainer.averaged_model().fenet.weight.clone()
    averaged = validated(trainer)[-1].model.fenet.weight
    trained = trainer._model.fenet.weight
    assert (averaged - trained).norm() < 0.5 * (untrained - trained).norm()


def test_without_an_average_the_weights_are_those_of_the_last_step(
    make_config: Make,
) -> None:
    trainer = Trainer(make_config(average_decay=0))
    model = validated(trainer)[-1].model
    for name, parameter in model.named_parameters():
        assert parameter.equal(trainer._model.get_parameter(name))


def test_norms_are_frozen_towards_the_end(make_config: Make) -> None:
    config = make_config(architecture=NORMED, freeze_norm_from=0.0)
    model = validated(Trainer(config))[-1].model
    tracked = [
        int(norm.num_batches_tracked)
        for norm in model.modules()
        if isinstance(norm, nn.BatchNorm2d) and norm.num_batches_tracked is not None
    ]
    assert set(tracked) == {3}


def test_fixed_statistics_belong_to_the_averaged_weights(make_config: Make) -> None:
    config = make_config(
        architecture=NORMED,
        steps=40,
        average_decay=0.999,
        learning_rate=2e-2,
        freeze_norm_from=0.96,
    )
    trainer = Trainer(config)
    fixed = validated(trainer)[-1].model
    renewed = copy.deepcopy(fixed)
    recalibrate(renewed, trainer._recalibration_batches())
    for before, after in zip(norms(fixed), norms(renewed), strict=True):
        assert before.running_var is not None
        assert after.running_var is not None
        torch.testing.assert_close(
            before.running_var, after.running_var, rtol=2e-3, atol=1e-5
        )


@pytest.mark.parametrize("batch_norm", [True, False])
def test_activation_checkpointing_changes_no_gradient(
    make_config: Make, tmp_path: Path, batch_norm: bool
) -> None:
    plain, saving = (
        make_config(
            architecture=NORMED | {"batch_norm": batch_norm},
            activation_checkpointing=on,
            out=tmp_path / str(on),
            precision="float32",
        )
        for on in (False, True)
    )
    finished(Trainer(plain))
    finished(Trainer(saving))
    for name, tensor in state(plain)["model"].items():
        other = state(saving)["model"][name]
        if "running" in name or "tracked" in name:
            continue
        if batch_norm:
            assert tensor.equal(other), name
        else:
            # A ReLU that several gates share sums its gradients in another order.
            torch.testing.assert_close(tensor, other, rtol=1e-4, atol=1e-6)


def test_activation_checkpointing_keeps_fewer_activations() -> None:
    def kept(*, checkpointing: bool) -> int:
        model = MemNet(Architecture(memory_blocks=3, recursions=3, channels=4))
        model.checkpointing = checkpointing
        sizes: list[int] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(torch.rand(1, 1, 16, 16))
        return sum(sizes)

    assert kept(checkpointing=True) < 0.25 * kept(checkpointing=False)


def test_loss_that_is_not_finite_ends_the_run_with_advice(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    trainer = Trainer(config)
    events = trainer.run()
    next(events)
    monkeypatch.setattr(loop, "memnet_loss", lambda *_: torch.tensor(math.nan))
    with pytest.raises(TrainingError, match=r"at step 1; .* lower learning rate"):
        list(events)
    assert state(config)["step"] == 1
    assert all(t.isfinite().all() for t in state(config)["model"].values())


@pytest.mark.parametrize("steps", [1, 3])
def test_weights_that_are_not_finite_end_the_run_with_advice(
    make_config: Make, steps: int
) -> None:
    trainer = Trainer(make_config(steps=steps, learning_rate=1e30, warmup_steps=0))
    with pytest.raises(TrainingError, match=r"no longer finite.* lower learning rate"):
        list(trainer.run())


def test_run_starts_from_a_smaller_model(make_config: Make, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = MemNet(Architecture(memory_blocks=1, recursions=1, channels=4))
    path = tmp_path / "start.safetensors"
    save_model(
        path,
        model,
        name="start",
        task="deblock",
        levels=Levels(values=(5, 75), continuous=True),
        version="1",
        license="BSD-3-Clause",
    )
    trained = Trainer(make_config(start=str(path))).averaged_model()
    assert trained.architecture.batch_norm
    assert trained.fenet.weight.equal(model.fenet.weight)
    with pytest.raises(TrainingError, match="fewer memory blocks or recursions"):
        Trainer(make_config(start=str(path), architecture={"channels": 5}))
    shape = {"memory_blocks": 2, "recursions": 1, "channels": 4, "unshuffle": 1}
    told = make_config(start=str(path), architecture={**shape, "level_map": True})
    weight = Trainer(told).averaged_model().fenet.weight
    assert weight[:, :1].equal(model.fenet.weight)
    assert not weight[:, 1:].any()


def test_pairs_teach_what_lies_between_them(
    make_config: Make, paired_images: tuple[Path, Path]
) -> None:
    config = make_config(
        data=(),
        pairs=paired_images,
        task="denoise",
        steps=120,
        optimizer="adamw",
        learning_rate=1e-2,
    )
    [event] = validated(Trainer(config))
    assert event.input_psnr["pairs"] == pytest.approx(16.09, abs=0.01)
    assert event.psnr["pairs"] > 25


def losses(config: TrainingConfig) -> tuple[float, float]:
    """Mean losses of the first and of the last steps."""
    events = Trainer(config).run()
    every = [event.loss for event in events if isinstance(event, TrainingProgress)]
    return sum(every[:3]) / 3, sum(every[-10:]) / 10


def convolutions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, torch.Tensor]]:
    """What convolutions return from now on, and whether gradients are taken."""
    seen: list[tuple[bool, torch.Tensor]] = []
    forward = nn.Conv2d.forward

    def watched(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        y = forward(self, x)
        seen.append((torch.is_grad_enabled(), y.detach()))
        return y

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    return seen


@pytest.mark.slow
def test_run_in_bfloat16_learns_as_one_in_float32_does(
    make_config: Make, tmp_path: Any
) -> None:
    (rough_first, rough), (first, fine) = (
        losses(
            make_config(
                task="denoise",
                precision=precision,
                steps=40,
                report_every=1e-9,
                optimizer="adamw",
                learning_rate=2e-2,
                out=tmp_path / precision,
                name="x",
            )
        )
        for precision in ("bfloat16", "float32")
    )
    assert rough_first != first
    assert rough_first == pytest.approx(first, rel=0.02)
    assert fine < 0.4 * first
    assert rough == pytest.approx(fine, rel=0.1)


def test_weights_updates_and_statistics_stay_in_float32(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = convolutions(monkeypatch)
    config = make_config(precision="bfloat16", steps=4, freeze_norm_from=1)
    list(Trainer(config).run())
    assert {y.dtype for trained, y in seen if trained} == {torch.bfloat16}
    assert {y.dtype for trained, y in seen if not trained} == {torch.float32}
    state = read_state(config.out / STATE_FILE, CPU)
    held = [*state["model"].values(), *state["average"].values()]
    for moments in state["optimizer"]["state"].values():
        held += moments.values()
    assert len(held) > 40
    assert {tensor.dtype for tensor in held} <= {torch.float32, torch.int64}


def test_run_without_batch_norm_stays_in_bfloat16(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = convolutions(monkeypatch)
    list(Trainer(make_config(precision="bfloat16", freeze_norm_from=0.5)).run())
    assert {y.dtype for trained, y in seen if trained} == {torch.bfloat16}


def test_run_ends_in_float32_once_norms_are_frozen(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = convolutions(monkeypatch)
    config = make_config(
        architecture=NORMED, precision="bfloat16", steps=4, freeze_norm_from=0.5
    )
    list(Trainer(config).run())
    types = [y.dtype for trained, y in seen if trained]
    half = len(types) // 2
    assert set(types[:half]) == {torch.bfloat16}
    assert set(types[half:]) == {torch.float32}


@pytest.mark.parametrize("batches", ["workers", "device"])
def test_features_are_computed_channels_last(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, batches: str
) -> None:
    seen = convolutions(monkeypatch)
    list(Trainer(make_config(steps=1, batches=batches)).run())
    features = [y for _, y in seen if y.shape[1] > 1]
    assert features
    for y in features:
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_compiled_network_takes_the_steps(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    compiled: list[nn.Module] = []
    compile_ = torch.compile

    def eager(model: nn.Module) -> Any:
        compiled.append(model)
        return compile_(model, backend="eager")

    monkeypatch.setattr(torch, "compile", partial(eager))
    plain, fast = (
        make_config(steps=2, compile=is_compiled, out=tmp_path / name, name="x")
        for is_compiled, name in ((False, "plain"), (True, "fast"))
    )
    expected, found = (
        Trainer(config).averaged_model().state_dict()
        for config in (plain, fast)
        if list(Trainer(config).run())
    )
    assert len(compiled) == 2
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, msg=name)
