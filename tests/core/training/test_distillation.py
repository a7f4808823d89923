"""Learning from the answers of other networks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from memnet_core.cli import main
from memnet_core.errors import MemnetError, TrainingError
from memnet_core.image_ops.color import rgb2ycbcr_luminance
from memnet_core.image_ops.metrics import psnr
from memnet_core.image_ops.resize import imresize
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import load_model, save_model
from memnet_core.model.network import MemNet
from memnet_core.tasks import TASKS, Levels
from memnet_core.training.data.clean_images import read_clean_images
from memnet_core.training.data.gpu_degradations import bicubic
from memnet_core.training.data.gpu_sampler import DevicePatches, sampler_on
from memnet_core.training.data.images import TrainingImages
from memnet_core.training.data.sampler import RandomPatches
from memnet_core.training.distillation import dncnn, ffdnet, read_teachers, smfanet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

CPU = torch.device("cpu")


def chain(path: Path, *channels: int, kernel: int = 3) -> Path:
    """A file with a chain of convolutions whose weights are small."""
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {}
    for number, (before, after) in enumerate(pairwise(channels)):
        shape = (after, before, kernel, kernel)
        arrays[f"w{number}"] = rng.normal(0, 0.05, shape).astype(np.float32)
        arrays[f"b{number}"] = rng.normal(0, 0.05, after).astype(np.float32)
    np.savez(path, **arrays)
    return path


def enlarger(path: Path, scale: int) -> Path:
    """A file of SMFANet+ that has no blocks: it enlarges by two convolutions."""
    rng = np.random.default_rng(scale)
    arrays: dict[str, Any] = {
        "to_feat.weight": rng.normal(0, 0.1, (4, 3, 3, 3)),
        "to_feat.bias": np.zeros(4),
        "to_img.0.weight": rng.normal(0, 0.1, (3 * scale**2, 4, 3, 3)),
        "to_img.0.bias": rng.normal(0, 0.1, 3 * scale**2),
    }
    np.savez(path, **arrays)
    return path


def weights(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def picture(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, shape, np.uint8)


@pytest.mark.slow
@torch.no_grad()
def test_ffdnet_restores_as_measured(shared_data: Path) -> None:
    network = weights(shared_data.parent / "peers" / "FFDNet_gray.npz")
    found = []
    for number, (_, plane) in enumerate(
        read_clean_images(shared_data / "bench" / "S14", full_range=True)
    ):
        clean = plane.astype(np.float64)
        rng = np.random.default_rng(number)
        noisy = torch.from_numpy(TASKS["denoise"].degrade(clean, 50, rng) / 255).float()
        restored = ffdnet(
            network, noisy[None, None], torch.full((1, 1, 1, 1), 50 / 255)
        )
        found.append(psnr(clean, 255 * restored[0, 0].numpy()))
    # Between seeds of the noise it differs by some hundredths.
    assert np.mean(found) == pytest.approx(26.74, abs=0.12)


@torch.no_grad()
def test_smfanet_enlarges_as_measured(shared_data: Path) -> None:
    network = weights(shared_data.parent / "peers" / "SMFANetplus_x4.npz")
    found = []
    for path in sorted((shared_data / "bench" / "Set5").iterdir()):
        clean = np.asarray(Image.open(path).convert("RGB"))
        height, width = (side // 4 * 4 for side in clean.shape[:2])
        clean = clean[:height, :width]
        small = imresize(clean.astype(np.float64), (height // 4, width // 4))
        given = torch.from_numpy(small.round().clip(0, 255) / 255).float()
        made = smfanet(network, given.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        pixels = (255 * made).round().clamp(0, 255).to(torch.uint8).numpy()
        scored = [
            rgb2ycbcr_luminance(rgb)[4:-4, 4:-4].astype(np.float64)
            for rgb in (clean, pixels)
        ]
        found.append(psnr(*scored))
    assert np.mean(found) == pytest.approx(32.50, abs=0.02)


@torch.no_grad()
def test_dncnn_takes_blocks_away(shared_data: Path) -> None:
    network = weights(shared_data.parent / "peers" / "DnCNN3.npz")
    path = shared_data / "bench" / "classic5" / "barbara.bmp"
    plane = np.asarray(Image.open(path))[128:256, 128:256]
    task = TASKS["deblock"]
    degraded = task.degrade(plane, 10, np.random.default_rng(0))
    given = torch.from_numpy(degraded / 255).float()[None, None]
    restored = 255 * dncnn(network, given)[0, 0].numpy()
    gain = psnr(plane, restored) - psnr(plane, degraded)
    assert gain > 1


@pytest.mark.parametrize("side", [32, 33])
def test_ffdnet_takes_planes_of_any_side(tmp_path: Path, side: int) -> None:
    network = weights(chain(tmp_path / "f.npz", 5, 6, 4))
    planes = torch.rand(2, 1, side, side + 3)
    deviations = torch.tensor([0.1, 0.3]).reshape(2, 1, 1, 1)
    restored = ffdnet(network, planes, deviations)
    assert restored.shape == planes.shape
    other = ffdnet(network, planes, deviations.flip(0))
    assert not torch.isclose(restored, other).all()


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_target_is_the_clean_image_with_a_share_of_the_answer(
    make_config: Make, tmp_path: Path, share: float
) -> None:
    file = chain(tmp_path / "ffdnet.npz", 5, 6, 4)
    config = make_config(
        task="denoise",
        teacher=str(file),
        teacher_share=share,
        plain_share=0.5,
        architecture={"unshuffle": 1, "level_map": True},
    )
    images = TrainingImages([picture(96, 96)])
    sampler = sampler_on(CPU, config, images)
    assert isinstance(sampler, DevicePatches)
    degraded, target = sampler.batch(0, 16, range(32))
    _, clean = RandomPatches(config, images).batch(0, 16, range(32))
    answer = ffdnet(weights(file), degraded[:, :1], degraded[:, 1:, :1, :1])
    taught = (1 - share) * clean + share * answer
    is_taught = (target - taught).abs().flatten(1).amax(1) < 1e-5
    is_clean = (target - clean).abs().flatten(1).amax(1) < 1e-5
    # Plain patches are learned as they are.
    assert (is_taught ^ is_clean).all()
    assert 5 < int(is_clean.sum()) < 27


def test_noise_that_the_teacher_does_not_know_is_learned_from_clean_images(
    make_config: Make, tmp_path: Path
) -> None:
    file = chain(tmp_path / "ffdnet.npz", 5, 6, 4)
    config = make_config(
        task="denoise",
        noise="all",
        levels={"values": [20], "continuous": False},
        teacher=str(file),
        teacher_share=0.5,
        plain_share=0,
        architecture={"unshuffle": 1, "level_map": True},
    )
    images = TrainingImages([picture(96, 96)])
    degraded, target = DevicePatches(config, images, CPU).batch(0, 16, range(64))
    _, clean = RandomPatches(config, images).batch(0, 16, range(64))
    # It is told the true deviation, however the map is misread.
    sigmas = torch.full((64, 1, 1, 1), 20 / 255)
    taught = 0.5 * clean + 0.5 * ffdnet(weights(file), degraded[:, :1], sigmas)
    is_taught = (target - taught).abs().flatten(1).amax(1) < 1e-5
    is_clean = (target - clean).abs().flatten(1).amax(1) < 1e-5
    assert (is_taught ^ is_clean).all()
    assert 10 < int(is_taught.sum()) < 35
    is_uneven = degraded[:, 1].flatten(1).std(1) > 1e-3
    is_told = (degraded[:, 1, 0, 0] * 255 - 20).abs() < 1e-3
    assert int((is_uneven & is_clean).sum()) > 5
    assert int((is_taught & ~is_told).sum()) > 2
    assert int((is_taught & is_uneven).sum()) <= int((is_taught & ~is_told).sum())


@pytest.mark.parametrize("channels", [1, 3])
def test_answers_of_an_enlarging_teacher_are_parts_of_whole_images(
    make_config: Make, tmp_path: Path, channels: int
) -> None:
    files = [enlarger(tmp_path / f"x{scale}.npz", scale) for scale in (2, 3)]
    plane = picture(130, 130, 3) if channels == 3 else picture(130, 130)

    def batch(share: float) -> tuple[torch.Tensor, torch.Tensor]:
        config = make_config(
            task="sr",
            levels={"values": [2, 3], "continuous": False},
            teacher=files,
            teacher_share=share,
            plain_share=0,
            luminance="studio",
            architecture={"unshuffle": 1, "image_channels": channels},
        )
        sampler = DevicePatches(config, TrainingImages([plane]), CPU)
        degraded, target = sampler.batch(0, 18, range(6))
        return 255 * degraded, 255 * target

    degraded, answers = batch(1)
    clean = 2 * batch(0.5)[1] - answers
    whole = torch.from_numpy(np.atleast_3d(plane)).permute(2, 0, 1).float()
    triples: list[tuple[torch.Tensor, ...]] = []
    for scale, file in zip((2, 3), files, strict=True):
        cropped = whole[:, : 130 // scale * scale, : 130 // scale * scale]
        large = enlarged(cropped, scale, weights(file), channels)
        pictures = cropped, bicubic(cropped[None], scale)[0], large
        triples += zip(*map(turns, pictures), strict=True)
    for patches in zip(clean, degraded, answers, strict=True):
        assert any(
            set.intersection(*map(places, triple, patches)) for triple in triples
        )


def turns(planes: torch.Tensor) -> list[torch.Tensor]:
    return [p.rot90(k, (1, 2)) for p in (planes, planes.mT) for k in range(4)]


def enlarged(
    pixels: torch.Tensor, scale: int, network: dict[str, torch.Tensor], channels: int
) -> torch.Tensor:
    side = pixels.shape[1] // scale
    image = pixels.permute(1, 2, 0).double().numpy()
    small = torch.from_numpy(imresize(image, (side, side)) / 255).permute(2, 0, 1)[None]
    answer = smfanet(
        {k: v.double() for k, v in network.items()}, small.expand(1, 3, -1, -1)
    )
    planes = answer if channels == 3 else answer.mean(1, keepdim=True)
    return (255 * planes[0]).round().clamp(0, 255).float()


def places(picture: torch.Tensor, patch: torch.Tensor) -> set[tuple[int, int]]:
    """Return where a patch is a part of a picture, to a gray level."""
    windows = picture.unfold(1, 18, 1).unfold(2, 18, 1)
    # What lies at the edge of two levels is rounded to either.
    same = ((windows - patch[:, None, None]).abs() < 1.1).flatten(3).all(3).all(0)
    return {(y, x) for y, x in same.nonzero().tolist()}


@pytest.mark.parametrize("told", [True, False])
def test_own_model_teaches(make_config: Make, tmp_path: Path, *, told: bool) -> None:
    torch.manual_seed(0)
    shape = Architecture(
        memory_blocks=1, recursions=1, channels=4, unshuffle=2, level_map=told
    )
    file = tmp_path / "own.safetensors"
    levels = Levels.between(5, 50)
    save_model(
        file,
        MemNet(shape),
        name="own",
        task="denoise",
        levels=levels,
        version="1",
        license="x",
    )
    config = make_config(
        task="denoise", levels=levels, teacher=file, teacher_share=1, plain_share=0
    )
    sampler = DevicePatches(config, TrainingImages([picture(64, 64)]), CPU)
    degraded, target = sampler.batch(0, 16, range(3))
    model, _ = load_model(file)
    with torch.no_grad():
        if not told:
            assert target.allclose(model(degraded).output, atol=1e-6)
        else:
            planes = torch.cat([degraded, torch.full_like(degraded, 0.1)], 1)
            assert not target.allclose(model(planes).output, atol=1e-3)
    others = make_config(
        task="denoise",
        levels=Levels.between(5, 75),
        teacher=file,
        teacher_share=1,
    )
    with pytest.raises(TrainingError, match="teaches levels 5-50, which is not what"):
        read_teachers(others, CPU)


@pytest.mark.parametrize(
    ("name", "task", "reason"),
    [
        ("ffdnet", "deblock", "teaches white noise, which is not"),
        ("color", "denoise", "teaches color, which is not"),
        ("x2", "denoise", "teaches enlarging, which is not"),
        ("x2", "sr", "No teacher enlarges by 3"),
        ("wide", "deblock", "none of the networks that can teach"),
        ("empty", "deblock", "Cannot read the teacher"),
        ("array", "deblock", "Cannot read the teacher"),
        ("cut", "deblock", "Cannot read the teacher"),
        ("partial", "sr", "are not those of a whole network"),
        ("missing", "deblock", "Cannot read the teacher"),
    ],
)
def test_teachers_that_do_not_serve_are_refused(
    make_config: Make, tmp_path: Path, name: str, task: str, reason: str
) -> None:
    chain(tmp_path / "ffdnet.npz", 5, 6, 4)
    chain(tmp_path / "color.npz", 13, 6, 12)
    chain(tmp_path / "wide.npz", 1, 6, 1, kernel=9)
    enlarger(tmp_path / "x2.npz", 2)
    (tmp_path / "empty.npz").touch()
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    whole = (tmp_path / "ffdnet.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    partial: dict[str, Any] = {
        "to_feat.weight": np.zeros((4, 3, 3, 3)),
        "to_img.0.bias": np.zeros(12),
    }
    np.savez(tmp_path / "partial.npz", **partial)
    config = make_config(task=task, teacher=tmp_path / f"{name}.npz", teacher_share=0.5)
    with pytest.raises(MemnetError, match=reason):
        read_teachers(config, CPU)


def test_two_teachers_of_the_same_are_refused(
    make_config: Make, tmp_path: Path
) -> None:
    files = [chain(tmp_path / f"{name}.npz", 1, 4, 1) for name in "ab"]
    config = make_config(teacher=files, teacher_share=0.5)
    with pytest.raises(TrainingError, match=r"b\.npz teaches what another teacher="):
        read_teachers(config, CPU)


@pytest.mark.parametrize(
    "settings",
    [
        {"teacher_share": 0.5},
        {"teacher": "a.npz", "teacher_share": 0},
        {"teacher": "a.npz", "batches": "workers"},
        {"teacher": "a.npz", "recipe": "paper"},
        {"teacher": "a.npz", "data": (), "pairs": ("a", "b")},
    ],
    ids=str,
)
def test_teacher_needs_a_share_and_clean_images(
    make_config: Make, settings: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="a teacher"):
        make_config(**settings)


def test_card_says_who_taught(clean_images: Path, tmp_path: Path) -> None:
    file = chain(tmp_path / "DnCNN9.npz", 1, 4, 1)
    settings = tmp_path / "short.yaml"
    settings.write_text(
        "phases: [{until: 1, patch: 16, batch: 2}]\n"
        "recalibration_batches: 2\nvalidations: 1\n"
    )
    out = tmp_path / "taught"
    tiny = ["--memory-blocks", 1, "--recursions", 1, "--channels", 4]
    arguments = ["--data", clean_images, "--out", out, "--steps", 2, "--teacher", file]
    run = CliRunner().invoke(
        main, [*map(str, ["train", *arguments, "--config", settings, *tiny])]
    )
    assert run.exit_code == 0, run.output
    model = out / "taught.safetensors"
    told = CliRunner().invoke(main, ["models", "info", str(model)])
    assert "taught by      DnCNN9.npz (0.5 of the target)" in told.output
    assert "teacher_share: 0.5" in (out / "config.yaml").read_text()
