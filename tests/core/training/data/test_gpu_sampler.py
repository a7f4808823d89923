"""Batches that are made on a device are those that the CPU makes one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from memnet_core.errors import TrainingError
from memnet_core.training.data.gpu_sampler import DevicePatches, sampler_on
from memnet_core.training.data.images import TrainingImages
from memnet_core.training.data.sampler import GridPatches, RandomPatches
from memnet_core.training.events import Validated
from memnet_core.training.loop import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
COLOR = {"unshuffle": 1, "image_channels": 3, "level_map": True}


def picture(height: int, width: int, channels: int | None = None) -> NDArray[np.uint8]:
    """A smooth picture that is different everywhere."""
    shape = (height // 8, width // 8, *([channels] if channels else []))
    small = np.random.default_rng(height).integers(0, 256, shape, np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def both(
    config: TrainingConfig, images: TrainingImages
) -> tuple[RandomPatches, DevicePatches]:
    return RandomPatches(config, images), DevicePatches(config, images, CPU)


@pytest.mark.parametrize("task", ["deblock", "sr", "denoise"])
@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("patch", [16, 31])
def test_samples_are_those_of_the_cpu(
    make_config: Make, task: str, channels: int | None, patch: int
) -> None:
    config = make_config(
        task=task,
        plain_share=0.4,
        dim_share=0.3,
        border_share=0.5,
        architecture=COLOR if channels else {"unshuffle": 1, "level_map": True},
        phases=[{"until": 1, "patch": patch, "batch": 24}],
    )
    shapes = [(96, 120), (128, 96)]
    images = TrainingImages([picture(*shape, channels) for shape in shapes])
    one_by_one, together = both(config, images)
    for step in (0, 7):
        expected, clean = one_by_one.batch(step, patch, range(24))
        degraded, same = together.batch(step, patch, range(24))
        torch.testing.assert_close(same, clean, rtol=0, atol=1e-6)
        assert (degraded.dtype, degraded.shape) == (torch.float32, expected.shape)
        assert degraded[:, -1].equal(expected[:, -1])  # the level's plane
        difference = 255 * (degraded - expected).abs()
        if task == "sr":
            assert float(difference.max()) < 1e-3
        elif task == "deblock":
            assert float(difference.mean()) < 0.15
        else:
            assert 255 * float((degraded - clean_of(clean, degraded)).std()) > 3


@pytest.mark.parametrize("history_share", [0.0, 0.5])
def test_samples_for_chroma_of_its_own_level_are_those_of_the_cpu(
    make_config: Make, history_share: float
) -> None:
    config = make_config(
        architecture=COLOR | {"chroma_level": True},
        history_share=history_share,
        phases=[{"until": 1, "patch": 32, "batch": 32}],
    )
    images = TrainingImages([picture(96, 120, 3), picture(128, 96, 3)])
    one_by_one, together = both(config, images)
    expected, clean = one_by_one.batch(0, 32, range(32))
    degraded, same = together.batch(0, 32, range(32))
    torch.testing.assert_close(same, clean, rtol=0, atol=1e-3)
    assert degraded[:, 3:].equal(expected[:, 3:])
    assert float(255 * (degraded - expected).abs().mean()) < 0.15


def clean_of(clean: torch.Tensor, degraded: torch.Tensor) -> torch.Tensor:
    return torch.cat([clean, degraded[:, -1:]], 1)


def test_noise_is_that_of_the_level_and_new_in_every_step(make_config: Make) -> None:
    config = make_config(task="denoise", levels={"values": [20], "continuous": False})
    flat = TrainingImages([np.full((64, 64), 99, np.uint8)])
    sampler = DevicePatches(config, flat, CPU)
    batches = [sampler.batch(step, 32, range(16)) for step in (0, 1)]
    noises = [degraded - clean for degraded, clean in batches]
    assert float(noises[0].std()) * 255 == pytest.approx(20, rel=0.03)
    assert abs(float((noises[0] * noises[1]).mean())) < 1e-4
    again = sampler.batch(0, 32, range(16))[0]
    assert again.equal(batches[0][0])
    other_share = sampler.batch(0, 32, range(16, 32))
    assert abs(float((noises[0] * (other_share[0] - other_share[1])).mean())) < 1e-4


def test_noise_has_the_grain_of_the_run(make_config: Make) -> None:
    levels = {"values": [40], "continuous": False}
    config = make_config(task="denoise", grain="correlated", levels=levels)
    flat = TrainingImages([np.full((64, 64), 99, np.uint8)])
    degraded, clean = DevicePatches(config, flat, CPU).batch(0, 32, range(64))
    noise = (degraded - clean) * 255
    shared = (noise[..., 1:] * noise[..., :-1]).mean(dim=(1, 2, 3)) / 40**2
    assert 0.1 < float((shared.abs() < 0.1).float().mean()) < 0.6
    assert float(shared.max()) > 0.5


def test_shares_of_a_batch_are_parts_of_it(make_config: Make) -> None:
    config = make_config(plain_share=0.3)
    sampler = DevicePatches(config, TrainingImages([picture(96, 96)]), CPU)
    whole = sampler.batch(3, 16, range(6))
    parts = sampler.batch(3, 16, range(2)), sampler.batch(3, 16, range(2, 6))
    for number in (0, 1):
        joined = torch.cat([part[number] for part in parts])
        torch.testing.assert_close(joined, whole[number])


def test_pairs_are_cropped_alike(make_config: Make) -> None:
    clean = picture(40, 64)
    low = clean.astype(np.float32) + 0.5
    config = make_config(data=(), pairs=("a", "b"), task="denoise")
    images = TrainingImages([clean, clean], [low, low])
    one_by_one, together = both(config, images)
    for expected, made in zip(
        one_by_one.batch(2, 16, range(8)), together.batch(2, 16, range(8)), strict=True
    ):
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_images_of_other_than_8_bits_keep_their_values(make_config: Make) -> None:
    config = make_config(task="denoise", plain_share=1)
    fine = picture(48, 48).astype(np.float64) / 3
    one_by_one, together = both(config, TrainingImages([fine, picture(48, 48)]))
    expected, made = (s.batch(0, 16, range(12))[1] for s in (one_by_one, together))
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_gpu_keeps_images_and_cpu_has_a_worker(make_config: Make) -> None:
    made: list[torch.device] = []

    class Kept(DevicePatches):
        def __init__(self, config: Any, images: Any, device: torch.device) -> None:
            made.append(device)

    images = TrainingImages([picture(96, 96)])
    config = make_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memnet_core.training.data.gpu_sampler.DevicePatches", Kept)
        assert type(sampler_on(CPU, config, images)) is RandomPatches
        assert type(sampler_on(CUDA, config, images)) is Kept
        workers = make_config(batches="workers")
        assert type(sampler_on(CUDA, workers, images)) is RandomPatches
        asked = make_config(batches="device")
        assert type(sampler_on(CPU, asked, images)) is Kept
        assert made == [CUDA, CPU]
        paper = make_config(
            recipe="paper", phases=[{"until": 1, "patch": 31, "batch": 8}]
        )
        assert type(sampler_on(CUDA, paper, images)) is GridPatches
    with pytest.raises(TrainingError, match="grid are made by batches: workers"):
        make_config(recipe="paper", batches="device")


def test_run_on_device_batches_resumes_bit_by_bit(
    make_config: Make, tmp_path: Any
) -> None:
    at_once, paused = (
        make_config(batches="device", steps=6, out=tmp_path / folder, name="x")
        for folder in ("one", "two")
    )
    whole = Trainer(at_once)
    list(whole.run())
    list(Trainer(paused).run(stop_at=3))
    resumed = Trainer(paused)
    list(resumed.run())
    weights = resumed.averaged_model().state_dict()
    for name, tensor in whole.averaged_model().state_dict().items():
        assert tensor.equal(weights[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("task", ["deblock", "denoise", "sr"])
def test_network_learns_from_device_batches(make_config: Make, task: str) -> None:
    config = make_config(
        task=task, batches="device", steps=60, validations=3, learning_rate=1e-2
    )
    losses = [
        e.evaluation_loss for e in Trainer(config).run() if isinstance(e, Validated)
    ]
    assert losses[-1] < 0.9 * losses[0]


class NoGenerator:
    """Stands for the random numbers of a device that has none."""

    def __init__(self, device: torch.device) -> None: ...

    def manual_seed(self, seed: int) -> None: ...


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "deblock", "border_share": 0.3, "history_share": 0.5},
        {"task": "sr"},
        {"task": "denoise"},
        {"task": "denoise", "grain": "correlated"},
        {"task": "denoise", "noise": "all"},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [None, 3])
def test_nothing_leaves_the_device_or_comes_from_another(
    make_config: Make,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    channels: int | None,
) -> None:
    """PyTorch's device without memory refuses what a GPU would, and is everywhere."""
    for name in ("rand", "randn"):
        draw = getattr(torch, name)
        monkeypatch.setattr(
            torch, name, lambda *a, generator=None, draw=draw, **k: draw(*a, **k)
        )
    monkeypatch.setattr(torch, "Generator", NoGenerator)
    config = make_config(
        **settings,
        plain_share=0.4,
        dim_share=0.3,
        architecture=COLOR if channels else {"unshuffle": 1, "level_map": True},
    )
    images = TrainingImages([picture(96, 120, channels)])
    sampler = DevicePatches(config, images, torch.device("meta"))
    degraded, clean = sampler.batch(0, 16, range(12))
    assert degraded.is_meta
    assert clean.is_meta
    assert degraded.shape == (12, (channels or 1) + 1, 16, 16)


@pytest.mark.parametrize("channels", [None, 3])
def test_maps_of_all_noise_are_those_of_the_cpu(
    make_config: Make, channels: int | None
) -> None:
    config = make_config(
        task="denoise",
        noise="all",
        levels={"values": [0, 75], "continuous": True},
        plain_share=0.2,
        architecture=COLOR if channels else {"unshuffle": 1, "level_map": True},
    )
    images = TrainingImages([picture(96, 120, channels)])
    one_by_one, together = both(config, images)
    expected, clean = one_by_one.batch(4, 32, range(48))
    made, same = together.batch(4, 32, range(48))
    torch.testing.assert_close(same, clean, rtol=0, atol=1e-6)
    torch.testing.assert_close(made[:, -1], expected[:, -1], rtol=1e-3, atol=1e-5)
    even = expected[:, -1].flatten(1).std(1) < 1e-6
    assert 0.3 < float(even.float().mean()) < 0.8
    for degraded in (expected, made):
        noise = (degraded[:, :-1] - clean).flatten(1).std(1)
        told = degraded[:, -1].square().flatten(1).mean(1).sqrt()
        assert float((noise / told).log().abs().median()) < 0.1
