"""From noisy frames to a model file, or to none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import memnet_core
from memnet_core._util.temp_locks import LOCK_SUFFIX, locked_temp_name
from memnet_core.adaptation import loop
from memnet_core.adaptation.api import adapt
from memnet_core.adaptation.result import HoldoutRetest, ReadProgress
from memnet_core.errors import ModelError, TrainingError, UsageError
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import load_model, save_model
from memnet_core.model.network import MemNet
from memnet_core.model.registry import best_model, find_model
from memnet_core.tasks import Levels
from memnet_core.training.distributed import norms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Frames = Callable[..., NDArray[np.uint8]]

_RECIPE = loop._Optimization


@pytest.fixture
def base(models_folder: Path, learning: Callable[[float], None]) -> Path:
    """Install a network that learned nothing yet, and learn fast on small patches."""
    learning(0.05)
    torch.manual_seed(0)
    shape: dict[str, Any] = {"memory_blocks": 2, "recursions": 1, "channels": 4}
    path = models_folder / "noisy.safetensors"
    save_model(
        path,
        MemNet(Architecture(**shape, level_map=True)),
        name="noisy",
        task="denoise",
        levels=Levels.between(1, 75),
        version="1",
        license="BSD-3-Clause",
    )
    return path


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the learning rate."""
    monkeypatch.setattr(loop, "_PATCH", 32)
    monkeypatch.setattr(loop, "_BATCH", 2)

    def learning(rate: float) -> None:
        recipe = _RECIPE(learning_rate=rate)
        monkeypatch.setattr(loop, "_Optimization", lambda: recipe)

    return learning


@pytest.mark.usefixtures("base")
def test_a_model_learns_from_frames_and_is_kept_with_a_card(
    frames: Frames, models_folder: Path
) -> None:
    events: list[Any] = []
    adapted = adapt(frames(6), axes="TYX", steps=30, on_event=events.append)
    assert adapted.path == models_folder / "the-array-adapted.safetensors"
    assert adapted.loss_drop.after < 0.9 * adapted.loss_drop.before
    tests = [event for event in events if isinstance(event, HoldoutRetest)]
    assert [event.point for event in tests] == [*adapted.curve]
    assert tests[-1].step == 30
    assert any(isinstance(event, ReadProgress) for event in events)
    card = find_model("the-array-adapted").card
    assert card.adapted_to == "the array"
    assert card.levels == find_model("noisy").card.levels
    assert card.training is not None
    assert (card.training.started_from, card.training.steps) == ("noisy", 30)
    assert "noise2noise" in card.description


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("is_there", [False, True])
def test_what_a_killed_run_left_beside_the_model_is_removed(
    frames: Frames, tmp_path: Path, *, is_there: bool
) -> None:
    out = tmp_path / "out" / "mine.safetensors"
    out.parent.mkdir()
    with locked_temp_name(out.parent) as base:
        lock = base.with_name(base.name + LOCK_SUFFIX)
        kept = lock.read_bytes()
    lock.write_bytes(kept)  # as the run that held it was killed
    base.with_name(f"{base.name}.safetensors").write_bytes(b"half")
    if is_there:
        out.write_bytes(b"before")
        with pytest.raises(ModelError, match="already"):
            adapt(frames(6), axes="TYX", steps=10, out=out)
    else:
        adapt(frames(6), axes="TYX", steps=30, out=out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.usefixtures("base")
def test_what_it_learned_restores_better(frames: Frames) -> None:
    noisy, clean = frames(6), frames(1, sigma=0).astype(float)
    adapt(noisy, axes="TYX", steps=60)
    errors = [
        np.square(
            memnet_core.restore(noisy[-1], "denoise", model=name, nearest=True) - clean
        ).mean()
        for name in ("noisy", "the-array-adapted")
    ]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.usefixtures("base")
def test_an_adapted_model_is_taken_only_by_its_name(frames: Frames) -> None:
    adapt(frames(6), axes="TYX", steps=30)
    assert best_model("denoise", 25).card.name == "noisy"
    assert (
        memnet_core.adapt(
            frames(6), axes="TYX", steps=10, model="the-array-adapted", name="again"
        ).base
        == "the-array-adapted"
    )


@pytest.mark.usefixtures("base")
def test_the_old_model_stays_where_the_held_out_loss_does_not_fall(
    frames: Frames, models_folder: Path, learning: Any
) -> None:
    learning(0.0)
    adapted = adapt(frames(6), axes="TYX", steps=3)
    assert adapted.path is None
    assert adapted.verdict == (
        "The held-out loss does not fall beyond chance, so noisy stays and nothing is "
        "written."
    )
    assert [path.name for path in models_folder.iterdir()] == ["noisy.safetensors"]


@pytest.mark.usefixtures("base")
def test_of_a_run_that_got_worse_the_best_network_is_kept(
    frames: Frames, learning: Any
) -> None:
    learning(1.0)
    adapted = adapt(frames(6), axes="TYX", steps=24)
    held_out = [point.held_out for point in adapted.curve]
    assert min(held_out) < held_out[-1]
    assert adapted.loss_drop.after < held_out[-1]


def test_statistics_of_batchnorm_stay_and_weights_follow_from_the_seed(
    base: Path, frames: Frames, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        adapt(frames(6), axes="TYX", steps=8, seed=seed, out=file)
    before, first, again, other = (load_model(file)[0] for file in (base, *files))
    for norm, known in zip(norms(first), norms(before), strict=True):
        for name in ("running_mean", "running_var"):
            assert torch.equal(getattr(norm, name), getattr(known, name))
        assert norm.num_batches_tracked == known.num_batches_tracked
    weights = [model.fenet.weight for model in (before, first, again, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[3])


@pytest.mark.usefixtures("base")
def test_a_single_image_is_learned_from_by_blind_spots(frames: Frames) -> None:
    image = frames(1, size=96)[0]
    adapted = adapt(image, steps=30, objective="noise2void", name="single")
    assert adapted.path is not None
    assert adapted.sure_drop is not None
    assert adapted.sure_drop.after < adapted.sure_drop.before


@pytest.mark.usefixtures("base")
def test_a_single_image_has_no_other_frame(frames: Frames) -> None:
    with pytest.raises(UsageError, match="single image has no other frame"):
        adapt(frames(1)[0])


@pytest.mark.usefixtures("base")
def test_time_ends_the_learning(frames: Frames) -> None:
    adapted = adapt(frames(6), axes="TYX", minutes=0.02)
    assert 0.02 <= adapted.curve[-1].minutes < 0.2


@pytest.mark.usefixtures("base")
def test_frames_that_move_are_told_and_judged_by_themselves(frames: Frames) -> None:
    adapted = adapt(frames(9, moves=0.3), axes="TYX", steps=30)
    assert adapted.motion.is_significant
    assert adapted.sure_drop is not None
    assert "The frames move" in adapted.sentences[1]
    still = adapt(frames(9), axes="TYX", steps=3, name="still")
    assert not still.motion.is_significant
    assert still.sure_drop is None


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"axis": "Z"}, UsageError, "has the axes TYX"),
        ({"axis": "Y"}, UsageError, "has the axes TYX"),
        ({"objective": "noise2clean"}, UsageError, "no objective 'noise2clean'"),
        ({"objective": "neighbor2neighbor"}, UsageError, "gone; give noise2void"),
        ({"minutes": 0}, UsageError, "minutes or steps, above 0"),
        ({"minutes": 1, "steps": 3}, UsageError, "minutes or steps, above 0"),
        ({"name": "a/b"}, UsageError, "is no name of a model"),
        ({"out": "model.pt", "name": "a"}, UsageError, "name it .safetensors"),
        ({"name": "noisy"}, ModelError, "already a model"),
        ({"value_range": "plane"}, UsageError, "range for each plane"),
        ({"model": "none"}, ModelError, "no model 'none'"),
        ({"banana": 1}, UsageError, "no setting 'banana'"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_learned(
    frames: Frames, changes: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        adapt(frames(6), **{"axes": "TYX", "steps": 1, **changes})


@pytest.mark.usefixtures("base")
def test_frames_without_noise_and_frames_too_small_are_refused(frames: Frames) -> None:
    with pytest.raises(TrainingError, match="No noise was found"):
        adapt(np.zeros((6, 64, 64), np.uint8), axes="TYX", steps=1)
    with pytest.raises(TrainingError, match="too small"):
        adapt(frames(6, size=12), axes="TYX", steps=1)
