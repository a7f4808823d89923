"""Noise of photons: made the same everywhere, and means come back as means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from memnet_core import restore
from memnet_core.errors import LevelError, NothingToDo, UsageError
from memnet_core.inference.plan import RestorePlan, check_model, plan_restore
from memnet_core.inference.provenance import provenance
from memnet_core.inference.scaling import AnscombeScaling, LinearScaling, stabilized_of
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import Image, in_memory
from memnet_core.noise.anscombe import electrons_of, exact_unbiased_inverse, forward
from memnet_core.noise.estimation import PoissonGaussianNoise, estimate_noise_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.io import ImageFile

    Install = Callable[..., Path]

GAIN, BLACK, READ_NOISE = 2.0, 100.0, 3.0
CAMERA = AnscombeScaling(
    low=92, high=500, gain=GAIN, black=BLACK, read_noise=READ_NOISE
)
DENOISE = RestoreOptions(task="denoise")


def photographed(
    mean: float | NDArray[np.float64], shape: tuple[int, ...] = (), seed: int = 0
) -> NDArray[np.float64]:
    """Photograph what gives `mean` photo-electrons."""
    rng = np.random.default_rng(seed)
    counted = rng.poisson(mean, shape or None)
    noise: NDArray[np.float64] = rng.normal(0, READ_NOISE, counted.shape)
    return BLACK + GAIN * counted + noise


def cells(electrons: float, side: int = 192) -> NDArray[np.float64]:
    """Give the electrons of bright and dim disks on dark ground."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side), 0.03)
    for _ in range(25):
        row, column = rng.uniform(0, side, 2)
        disk = np.hypot(y - row, x - column) < rng.uniform(3, side / 8)
        picture[disk] += rng.uniform(0.1, 0.7)
    clipped: NDArray[np.float64] = np.minimum(picture, 1)
    return electrons * clipped


def source(pixels: Any, axes: str = "YX") -> ImageFile:
    return in_memory(Path("image"), Image(pixels, axes))


@pytest.mark.parametrize("mean", [3, 10, 100, 1000])
def test_noise_has_the_same_deviation_at_every_mean(mean: float) -> None:
    pixels = photographed(mean, (300, 300))
    noise = CAMERA.forward(pixels).astype(np.float64) * 255
    assert noise.std() == pytest.approx(CAMERA.level, rel=0.03)


@pytest.mark.parametrize("read", [0.0, 0.3, 1.6, 20.0])
@pytest.mark.parametrize("mean", [0, 0.1, 0.5, 2, 8, 29, 31, 400])
def test_means_come_back_as_means(mean: float, read: float) -> None:
    rng = np.random.default_rng(0)
    electrons = rng.poisson(mean, 500_000) + rng.normal(0, read, 500_000)
    found = exact_unbiased_inverse(np.array(forward(electrons, read).mean()), read)
    chance = 4 * np.sqrt((mean + read**2) / electrons.size)
    assert found == pytest.approx(electrons.mean(), abs=0.03 + chance)


@pytest.mark.parametrize("read", [0.0, 1.6])
def test_transform_rises_without_a_step_and_is_reversed(read: float) -> None:
    electrons = np.linspace(-20, 200, 20_001)
    values = forward(electrons, read)
    assert 0 < np.diff(values).min() <= np.diff(values).max() < 0.02
    np.testing.assert_allclose(electrons_of(values, read), electrons, atol=1e-9)
    means = exact_unbiased_inverse(values, read)
    assert np.diff(means).min() > 0
    assert np.diff(means).max() < 0.1


@pytest.mark.parametrize("beyond", [np.inf, 0.1])
def test_what_the_network_leaves_alone_stays_exactly(beyond: float) -> None:
    values = np.concatenate([photographed(5, (1000,)), [0.0, 90.0, 65535.0, -1e6]])
    change = CAMERA.inverse_difference(values, CAMERA.forward(values, beyond), beyond)
    assert not change.any()


def test_what_lies_beyond_the_reach_of_the_network_survives() -> None:
    values = np.array([0.0, 5000.0])
    beyond = 4 * CAMERA.level / 255
    seen = CAMERA.forward(values, beyond)
    np.testing.assert_allclose(seen, [-beyond, 1 + beyond], rtol=1e-6)
    change = CAMERA.inverse_difference(values, seen + np.float32(1e-5), beyond)
    assert np.abs(change).max() < GAIN / 2


def test_flat_areas_keep_their_mean_when_their_noise_is_removed() -> None:
    for mean in (0, 0.3, 1, 5, 50):
        values = photographed(mean, (400, 400), seed=1)
        seen = CAMERA.forward(values)
        flat = np.full_like(seen, seen.mean(dtype=np.float64))
        restored = values + CAMERA.inverse_difference(values, flat)
        assert np.ptp(restored) == pytest.approx(0, abs=1e-9)
        assert restored.mean() == pytest.approx(values.mean(), abs=0.02 * GAIN)


def test_scaling_survives_json_and_is_told_from_a_linear_one(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    decision = plan_restore(source(photographed(cells(50))), DENOISE)
    again = RestorePlan.model_validate_json(decision.model_dump_json())
    assert again == decision
    assert isinstance(again.channels[0].scaling, AnscombeScaling)
    assert AnscombeScaling.model_validate_json(CAMERA.model_dump_json()) == CAMERA


def test_zeros_beside_a_mosaic_do_not_widen_the_range() -> None:
    pixels = photographed(cells(50))
    padded = pixels.copy()
    padded[:60] = 0
    scalings = []
    for values in (pixels, padded):
        line = estimate_noise_model([values[..., None]])
        assert line
        scalings.append(stabilized_of(LinearScaling(low=values.min(), high=400), line))
    assert scalings[1].black == pytest.approx(scalings[0].black, rel=0.05)
    assert scalings[1].low > 80


@pytest.mark.parametrize(("deviations", "counts"), [(1, True), (3, True), (9, False)])
def test_noise_below_black_belongs_to_the_range_and_what_is_far_below_does_not(
    deviations: float, counts: bool
) -> None:
    low = BLACK - deviations * READ_NOISE
    constant = READ_NOISE**2 - GAIN * BLACK
    line = PoissonGaussianNoise(
        GAIN, constant, error=0.01, misfit=0.01, dark=BLACK, bright=900
    )
    scaling = stabilized_of(LinearScaling(low=low, high=900), line)
    assert (scaling.low == low) is counts
    assert scaling.low <= BLACK - 3 * READ_NOISE or counts


def test_photons_are_found_and_said(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    decision = plan_restore(source(photographed(cells(50)).astype(np.uint16)), DENOISE)
    scaling = decision.channels[0].scaling
    assert isinstance(scaling, AnscombeScaling)
    assert scaling.gain == pytest.approx(GAIN, rel=0.15)
    assert scaling.black == pytest.approx(BLACK + 0.03 * 50 * GAIN, abs=2)
    assert decision.level == pytest.approx(scaling.level, abs=0.05)
    noise, level = decision.remarks
    assert noise.startswith("noise: ")
    assert noise.endswith("from dark to bright")
    assert level == f"made the same everywhere: σ {decision.level:g} of 255"
    told = provenance(decision, DENOISE)
    assert told.photons == ((scaling.gain, scaling.black, scaling.read_noise),)


@pytest.mark.parametrize(
    "settings",
    [
        RestoreOptions(task="denoise", noise="gaussian"),
        RestoreOptions(task="denoise", level=20),
        RestoreOptions(task="denoise", value_range="dtype"),
        RestoreOptions(task="denoise", value_range="plane"),
        RestoreOptions(task="deblock", level=20),
    ],
    ids=str,
)
def test_noise_is_the_same_everywhere_if_asked_for(
    install: Install, settings: RestoreOptions
) -> None:
    install("any", 0, 255, task=settings.task)
    pixels = photographed(cells(5000)).astype(np.uint16)
    assert not plan_restore(source(pixels), settings).channels[0].is_stabilized


def small(pixels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Convert to 8 bits, from the lowest to the highest value."""
    low, high = pixels.min(), pixels.max()
    return np.asarray(np.rint((pixels - low) / (high - low) * 255), np.uint8)


def test_8_bits_that_are_mostly_dark_are_counts_of_photons(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    pixels = photographed(cells(60) ** 2 / 60, seed=3)
    scaling = plan_restore(source(small(pixels)), DENOISE).channels[0].scaling
    assert isinstance(scaling, AnscombeScaling)
    assert scaling.gain == pytest.approx(255 * GAIN / np.ptp(pixels), rel=0.2)
    colors = np.repeat(small(pixels)[..., None], 3, axis=-1)
    assert not plan_restore(source(colors, "YXS"), DENOISE).channels[0].is_stabilized


@pytest.mark.parametrize("sigma", [0, 10, 30, 50])
@pytest.mark.parametrize("power", [1, 2], ids=["bright", "dark"])
def test_photographs_of_8_bits_are_not_counts_of_photons(
    shared_data: Path, install: Install, sigma: float, power: int
) -> None:
    install("noise", 0, 255, task="denoise")
    settings = RestoreOptions(task="denoise", nearest=True)
    seemed = 0
    for number, file in enumerate(sorted((shared_data / "bench/Set12").glob("*.png"))):
        with Picture.open(file) as picture:
            clean = 255 * (np.asarray(picture.convert("L")) / 255) ** power
        noise = np.random.default_rng(number).normal(0, sigma, clean.shape)
        pixels = np.rint(np.clip(clean + noise, 0, 255)).astype(np.uint8)
        line = estimate_noise_model([pixels[..., None]])
        seemed += bool(line and line.is_clear)
        assert not plan_restore(source(pixels), settings).channels[0].is_stabilized
    assert seemed


@pytest.mark.parametrize("noise", ["photons", (2.0, -191.0)], ids=str)
def test_noise_of_photons_can_be_asked_for(install: Install, noise: Any) -> None:
    install("noise", 0, 255, task="denoise")
    bright = photographed(40 + cells(60), seed=4).clip(0, 255).astype(np.uint8)
    assert not plan_restore(source(bright), DENOISE).channels[0].is_stabilized
    asked = RestoreOptions(task="denoise", noise=noise)
    scaling = plan_restore(source(bright), asked).channels[0].scaling
    assert isinstance(scaling, AnscombeScaling)
    assert scaling.gain == pytest.approx(GAIN, rel=0.3)


def test_noise_of_photons_that_is_not_there_cannot_be_asked_for() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (192, 192))
    falling = np.linspace(1000, 3000, 192) + noise * np.linspace(3, 0.5, 192)
    asked = RestoreOptions(task="denoise", noise="photons")
    with pytest.raises(UsageError, match="No noise was found that grows"):
        plan_restore(source(falling), asked)


def test_uniform_noise_beyond_8_bits_is_not_of_photons(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    noise = np.random.default_rng(0).normal(0, 20, (192, 192))
    decision = plan_restore(source(1000 + cells(500) + noise), DENOISE)
    assert not decision.channels[0].is_stabilized


@pytest.mark.parametrize("electrons", [10, 100])
def test_sigma_of_mostly_dark_pictures_is_that_of_all_their_noise(
    install: Install, electrons: float
) -> None:
    install("noise", 0, 255, task="denoise")
    clean = cells(electrons) ** 4 / electrons**3
    noisy = photographed(clean)
    true = np.std(noisy - BLACK - GAIN * clean)
    settings = RestoreOptions(
        task="denoise", noise="gaussian", value_range=(0.0, 255.0)
    )
    assert plan_restore(source(noisy), settings).level == pytest.approx(true, rel=0.15)


def test_sigma_of_noise_that_surely_grows_is_that_of_all_of_it(
    shared_data: Path, install: Install
) -> None:
    install("noise", 0, 255, task="denoise")
    with Picture.open(shared_data / "bench/Set12/01.png") as picture:
        photograph = np.asarray(picture, np.float64)[60:188, 60:188] ** 3
    black, white = np.percentile(photograph, (0.5, 99.9))
    clean = 50 * np.clip((photograph - black) / (white - black), 0, 1)
    rng = np.random.default_rng(4)
    counts = rng.poisson(clean)
    counted = rng.gamma(np.maximum(counts, 1e-9)) * (counts > 0)  # as an EMCCD does
    counted += rng.normal(0, 0.2, clean.shape)
    noisy = np.rint(500 + 12 * counted).astype(np.uint16)
    line = estimate_noise_model([noisy[..., None]])
    assert line
    assert (line.is_likely, line.is_clear) == (True, False)
    low, high = np.percentile(noisy, (0.1, 99.9))
    true = 255 * np.std(noisy - 500.0 - 12 * clean) / (high - low)
    settings = RestoreOptions(task="denoise", noise="gaussian")
    assert plan_restore(source(noisy), settings).level == pytest.approx(true, rel=0.25)


def test_low_noise_of_photons_is_removed_by_the_nearest_model(
    install: Install,
) -> None:
    install("noise", 5, 75, task="denoise")
    decision = plan_restore(source(photographed(cells(2000))), DENOISE)
    assert 2.5 < decision.level < 5
    assert decision.remarks[-1] == "beyond σ 5, the nearest of the model"
    with pytest.raises(NothingToDo, match=r"σ 1\.\d is milder than σ 2\.5"):
        plan_restore(source(photographed(cells(20_000))), DENOISE)
    with pytest.raises(LevelError, match="covers σ 3"):
        plan_restore(
            source(photographed(cells(2000))), RestoreOptions(task="denoise", level=3)
        )


@pytest.mark.parametrize("electrons", [10, 100])
def test_sums_of_counts_are_kept(electrons: float) -> None:
    clean = cells(electrons, 96)
    values = np.rint(photographed(clean))
    constant = READ_NOISE**2 - GAIN * BLACK
    restored = restore(values, noise=(GAIN, constant), nearest=True, device="cpu")
    truth = BLACK + GAIN * clean
    assert np.mean((restored - truth) ** 2) < 0.6 * np.mean((values - truth) ** 2)
    assert restored.sum() == pytest.approx(values.sum(), rel=0.005)
    above = (values - BLACK).sum()
    assert (restored - BLACK).sum() == pytest.approx(above, rel=0.02)


@pytest.mark.parametrize(
    "name",
    [
        "lysosome/1",
        "lysosome/5",
        "cc-by/IXMtest_A02_s9",
        "cc-by/membrane_2d_timelapse",
    ],
)
def test_sums_of_real_counts_are_kept(shared_data: Path, name: str) -> None:
    file = shared_data / "micro" / f"{name}.tif"
    plane = tifffile.imread(file)[0, -128:, -128:].astype(np.float64)
    line = estimate_noise_model([plane[..., None]])
    assert line
    noise = (line.gain, line.constant)
    restored = restore(plane, noise=noise, nearest=True, device="cpu")
    assert restored.sum() == pytest.approx(plane.sum(), rel=0.005)
    assert np.std(restored - plane) > 0.3 * line.deviation(plane.mean())


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (RestoreOptions(task="denoise", noise=(2, 0), level=20), "excludes sigma=20"),
        (
            RestoreOptions(task="denoise", noise=(2, 0), value_range="plane"),
            "range='plane'",
        ),
        (
            RestoreOptions(task="denoise", noise=(2, 0), channels="luminance"),
            "luminance",
        ),
        (
            RestoreOptions(task="deblock", noise=(2, 0), level=20),
            "excludes task='deblock'",
        ),
        (
            RestoreOptions(task="denoise", noise="photons", level=9),
            "excludes sigma=9",
        ),
        (
            RestoreOptions(task="deblock", noise="photons", level=20),
            "excludes task='deblock'",
        ),
        (RestoreOptions(task="denoise", noise=(0, 3)), "does not grow with the signal"),
        (RestoreOptions(task="denoise", noise=(2, np.inf)), "does not grow"),
    ],
    ids=str,
)
def test_noise_that_is_given_has_to_go_with_the_rest(
    install: Install, settings: RestoreOptions, what: str
) -> None:
    install("any", 0, 255, task=settings.task)
    with pytest.raises(UsageError, match=what):
        plan_restore(source(photographed(cells(50))), settings)
    with pytest.raises(UsageError, match=what):
        check_model(settings)


def test_noise_that_is_given_has_to_have_a_variance(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    settings = RestoreOptions(task="denoise", noise=(1.0, -1e6))
    with pytest.raises(UsageError, match="no variance at the values of the image"):
        plan_restore(source(photographed(cells(50))), settings)
