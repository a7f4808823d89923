"""What is decided for an input, once for every door."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from memnet_core.errors import (
    LevelError,
    MemnetError,
    ModelError,
    NothingToDo,
    UsageError,
)
from memnet_core.inference.engine import EngineCache, bind_engine, prepare
from memnet_core.inference.plan import RestorePlan, check_model, plan_restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import Image, Metadata, in_memory, open_image
from memnet_core.model.checkpoint import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.io import ImageFile

    Install = Callable[..., Path]


def source(pixels: Any, axes: str = "YX", **metadata: Any) -> ImageFile:
    return in_memory(Path("image"), Image(pixels, axes, Metadata(**metadata)))


def noisy(*shape: int, sigma: float, mean: float = 0.5) -> Any:
    """Give a gray picture with noise of `sigma` in gray levels of 255."""
    return np.random.default_rng(0).normal(mean, sigma / 255, shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("sigma", [10, 25])
def test_noise_is_estimated_on_the_range(
    install: Install, sigma: float, dtype: str
) -> None:
    install("noise", 0, 255, task="denoise")
    span = 1 if dtype == "float32" else np.iinfo(dtype).max
    pixels = (noisy(128, 128, sigma=sigma) * span).astype(dtype)
    decision = plan_restore(
        source(pixels), RestoreOptions(task="denoise", value_range="dtype")
    )
    assert decision.level == pytest.approx(sigma, rel=0.05)
    assert f"σ estimated as {decision.level}" in decision.remarks


def test_noise_is_estimated_on_a_given_range(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    settings = RestoreOptions(task="denoise", value_range=(0.0, 2000.0))
    decision = plan_restore(source(1000 * noisy(128, 128, sigma=20)), settings)
    assert decision.level == pytest.approx(10, rel=0.05)


def test_noise_of_colors_is_averaged_without_alpha(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    pixels = np.stack([noisy(128, 128, sigma=sigma) for sigma in (5, 10, 15, 30)], -1)
    settings = RestoreOptions(task="denoise", value_range=(0.0, 1.0))
    decision = plan_restore(source(pixels, "YXS"), settings)
    assert decision.level == pytest.approx(10, rel=0.05)


def test_every_channel_has_its_own_level_and_range(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    ramp = np.linspace(0, 1, 256)
    dim = (100 * (ramp + noisy(256, 256, sigma=8, mean=0))).astype(np.int16)
    bright = (10_000 * (ramp + noisy(256, 256, sigma=24, mean=0))).astype(np.int16)
    decision = plan_restore(
        source(np.stack([dim, bright]), "CYX"), RestoreOptions(task="denoise")
    )
    first, second = decision.channels
    assert first.scaling is not None
    assert second.scaling is not None
    assert first.scaling.high == pytest.approx(100, rel=0.2)
    assert second.scaling.high == pytest.approx(10_000, rel=0.3)
    assert second.level > 2 * first.level
    assert decision.level == second.level


def test_level_that_is_given_is_taken_as_it_is(install: Install) -> None:
    install("blocks", 1, 100)
    image = source(np.zeros((9, 9), np.uint8))
    decision = plan_restore(image, RestoreOptions(task="deblock", level=7))
    assert decision.level == 7
    assert decision.remarks == ()


def test_quality_comes_from_the_tables_of_the_file(install: Install) -> None:
    from memnet_core.jpeg.coding import luminance_table

    install("blocks", 1, 100)
    table = tuple(int(step) for step in luminance_table(37))
    image = source(np.zeros((9, 9), np.uint8), jpeg_tables=(table,))
    decision = plan_restore(image, RestoreOptions(task="deblock"))
    assert decision.level == 37
    assert decision.remarks == ("q 37 by its quantization table",)


@pytest.mark.parametrize(
    ("task", "reason"), [("deblock", "quantization tables"), ("sr", "scale=")]
)
def test_level_that_cannot_be_found_has_to_be_given(
    install: Install, task: str, reason: str
) -> None:
    install("any", 1, 100, task=task)
    with pytest.raises(LevelError, match=reason):
        plan_restore(source(np.zeros((9, 9), np.uint8)), RestoreOptions(task=task))


@pytest.mark.parametrize(
    "settings",
    [
        RestoreOptions(task="denoise", level=500),
        RestoreOptions(task="sr", level=2.5),
        RestoreOptions(task="deblock", level=0),
    ],
    ids=str,
)
def test_level_that_does_not_exist_is_refused(
    install: Install, settings: RestoreOptions
) -> None:
    install("any", 0, 1000, task=settings.task)
    with pytest.raises(LevelError):
        plan_restore(source(np.zeros((9, 9), np.uint8)), settings)


def test_model_of_another_task_is_refused(install: Install) -> None:
    path = install("blocks", 1, 100)
    install("noise", 1, 100, task="denoise")
    settings = RestoreOptions(task="denoise", level=20, model=str(path))
    with pytest.raises(LevelError, match="is for deblock, not for denoise"):
        plan_restore(source(np.zeros((9, 9), np.uint8)), settings)


def test_level_beyond_the_model_is_refused_or_said(install: Install) -> None:
    install("noise", 5, 75, task="denoise")
    image = source(np.zeros((9, 9), np.uint8))
    with pytest.raises(LevelError, match="covers σ 100"):
        plan_restore(image, RestoreOptions(task="denoise", level=100))
    decision = plan_restore(
        image, RestoreOptions(task="denoise", level=100, nearest=True)
    )
    assert decision.remarks == ("beyond σ 75, the nearest of the model",)


def test_image_that_needs_nothing_is_told_apart_from_failures(install: Install) -> None:
    install("noise", 5, 75, task="denoise")
    image = source((255 * noisy(128, 128, sigma=2)).astype(np.uint8))
    with pytest.raises(NothingToDo, match=r"needs none: σ .* milder than σ 5"):
        plan_restore(image, RestoreOptions(task="denoise"))
    assert plan_restore(image, RestoreOptions(task="denoise", nearest=True)).level < 5


def test_camera_jpeg_of_high_quality_needs_nothing(install: Install) -> None:
    from memnet_core.jpeg.coding import luminance_table

    install("blocks", 5, 75)
    table = tuple(int(step) for step in luminance_table(92))
    image = source(np.zeros((9, 9), np.uint8), jpeg_tables=(table,))
    with pytest.raises(NothingToDo, match="q 92 is milder than q 75"):
        plan_restore(image, RestoreOptions(task="deblock"))


def test_quality_worse_than_a_model_serves_is_a_failure(install: Install) -> None:
    from memnet_core.jpeg.coding import luminance_table

    install("blocks", 20, 75)
    table = tuple(int(step) for step in luminance_table(2))
    image = source(np.zeros((9, 9), np.uint8), jpeg_tables=(table,))
    with pytest.raises(LevelError, match="covers q 2"):
        plan_restore(image, RestoreOptions(task="deblock"))


def test_colors_together_need_a_model_for_color(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    image = source(np.zeros((9, 9, 3), np.uint8), "YXS")
    settings = RestoreOptions(task="denoise", level=20, channels="joint")
    with pytest.raises(UsageError, match="a model for color"):
        plan_restore(image, settings)


@pytest.mark.parametrize(
    ("channels", "model", "colors"),
    [
        (None, "together", "joint"),
        ("joint", "together", "joint"),
        ("each", "gray", "each"),
        ("luminance", "gray", "luminance"),
    ],
)
def test_colors_choose_the_model_for_color_unless_told(
    install: Install, channels: Any, model: str, colors: str
) -> None:
    install("gray", 0, 255, task="denoise")
    install("together", 0, 255, task="denoise", image_channels=3)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    settings = RestoreOptions(task="denoise", level=20, channels=channels)
    decision = plan_restore(source(pixels, "YXS"), settings)
    assert (Path(decision.model).stem, decision.colors) == (model, colors)
    gray = source(np.repeat(pixels[..., :1], 3, -1), "YXS")
    decision = plan_restore(gray, settings)
    assert decision.colors in ("single", "luminance")
    assert Path(decision.model).stem == ("together" if channels == "joint" else "gray")


@pytest.mark.parametrize(
    ("subsampling", "settings", "colors"),
    [
        ("4:2:0", {}, "chroma"),
        ("4:2:2", {}, "chroma"),
        ("4:2:0", {"consistency": False}, "chroma"),
        ("4:2:0", {"channels": "luminance"}, "luminance"),
        ("4:2:0", {"channels": "each"}, "each"),
        ("4:4:4", {}, "chroma"),
    ],
)
def test_chroma_of_a_jpeg_is_restored_at_its_own_resolution(
    install: Install,
    tmp_path: Path,
    subsampling: str,
    settings: dict[str, Any],
    colors: str,
) -> None:
    install("blocks", 5, 75)
    y, x = np.mgrid[:40, :48]
    waves = [100 + 60 * np.sin(angle) for angle in (x / 5, y / 4, (x + y) / 7)]
    picture = PillowImage.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
    picture.save(tmp_path / "a.jpg", quality=30, subsampling=subsampling)
    with open_image(tmp_path / "a.jpg") as file:
        decision = plan_restore(file, RestoreOptions(task="deblock", **settings))
    assert decision.colors == colors
    remark = "chroma restored at its own resolution"
    assert (remark in decision.remarks) == (colors == "chroma")


def test_decision_survives_json(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    image = source(noisy(3, 40, 41, sigma=12), "CYX")
    decision = plan_restore(
        image, RestoreOptions(task="denoise", exit_block=1, tta=True)
    )
    assert RestorePlan.model_validate_json(decision.model_dump_json()) == decision


def test_model_is_loaded_once(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memnet_core.inference import engine as module

    loads = []

    def load(path: Path) -> Any:
        loads.append(path)
        return load_model(path)

    monkeypatch.setattr(module, "load_model", load)
    install("noise", 0, 255, task="denoise")
    models = EngineCache()
    image = source(np.zeros((9, 9), np.uint8))
    settings = RestoreOptions(task="denoise", level=20, device="cpu")
    engines = {id(prepare(image, settings, models).engine) for _ in range(3)}
    assert len(engines) == len(loads) == 1


def test_model_that_was_exchanged_is_refused(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    decision = plan_restore(
        source(np.zeros((9, 9), np.uint8)), RestoreOptions(task="denoise", level=20)
    )
    other = decision.model_copy(update={"checksum": "1" * 64})
    with pytest.raises(ModelError, match="begin anew"):
        bind_engine(other, "cpu", EngineCache())


@pytest.mark.parametrize(
    "settings",
    [
        RestoreOptions(task="denoise", level=200),
        RestoreOptions(task="sr"),
        RestoreOptions(task="denoise", model="nobody"),
        RestoreOptions(task="denoise", level=20, exit_block=7),
    ],
    ids=str,
)
def test_what_no_model_serves_is_known_before_the_first_file(
    install: Install, settings: RestoreOptions
) -> None:
    install("noise", 5, 75, task="denoise")
    with pytest.raises(MemnetError):
        check_model(settings)


def shared_noise(*shape: int, sigma: float) -> Any:
    """Give a gray picture with noise that was blurred by 0.8 pixels."""
    from skimage.filters import gaussian

    blur: Any = gaussian
    noise = blur(np.random.default_rng(0).standard_normal(shape), 0.8, mode="wrap")
    return 0.5 + sigma / 255 * noise / noise.std()


def test_measured_noise_has_a_model_for_noise_of_all_kinds(install: Install) -> None:
    install("white", 1, 75, task="denoise")
    install("all", 1, 75, task="denoise", grain="correlated")
    for picture, shared in ((shared_noise, True), (noisy, False)):
        pixels = (255 * picture(192, 192, sigma=20)).astype(np.uint8)
        found = plan_restore(source(pixels), RestoreOptions(task="denoise"))
        assert found.model.endswith("all.safetensors")
        assert found.level == pytest.approx(20, rel=0.15)
        assert ("noise shared by neighbors" in found.remarks) is shared
        told = plan_restore(source(pixels), RestoreOptions(task="denoise", level=20))
        assert told.model.endswith("white.safetensors")
        assert told.channels[0].curve is None


def test_noise_beyond_what_a_model_serves_is_told_as_its_strongest(
    install: Install,
) -> None:
    install("mild", 1, 25, task="denoise")
    pixels = (255 * noisy(192, 192, sigma=50)).clip(0, 255).astype(np.uint8)
    found = plan_restore(source(pixels), RestoreOptions(task="denoise"))
    assert "beyond σ 25, the nearest of the model" in found.remarks
    assert found.level == 25
    curve = found.channels[0].curve
    assert curve
    assert max(curve.sigmas) == 25
