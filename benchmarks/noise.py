"""How well noise is read: estimates beside the truth.

    python benchmarks/noise.py
    python benchmarks/noise.py --link ../shared/data/train/CID22 /tmp/CID22

The first prints a table as Markdown and draws docs/noise-estimates.png; with --list it
prints what was read in every file. The second fills a folder with links to pictures to
train on, those left out that are measured here.

The noise of a picture is one number here: the root mean square of its local standard
deviation, in gray levels of 255: as the network reads it, cell by cell, and as
`--sigma auto` takes it, by brightness. Its truth is that of noisy less clean picture;
behind JPEG and demosaicing the clean picture went through them, too. "Off by" is
exp(mean |log σ̂/σ|), of pictures and, for the network's map, of cells.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import microscopy
import numpy as np
import torch
from inputs import BENCH
from matplotlib.figure import Figure
from peer_networks import SHARED
from PIL import Image
from torch.nn import functional as F

from memnet_core.image_ops.color import full_range_luminance
from memnet_core.inference.noise_map import readings_of
from memnet_core.noise.file import load_noise_network
from memnet_core.noise.network import noise_map
from memnet_core.training.data.noise_samples import local_deviation
from memnet_core.training.data.synthetic_pictures import KINDS, synthetic_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float64]

CID22 = SHARED / "data" / "train" / "CID22"
LEFT_OUT = (
    "1082342.png",
    "1277396.png",
    "1454804.png",
    "1583339.png",
    "1687147.png",
    "207691.png",
    "2232979.png",
    "2471234.png",
    "2693208.png",
    "3315291.png",
    "3584430.png",
    "3DPieChart.png",
    "5212582.png",
    "631317.png",
    "7195294.png",
    "AgilityCourseElements.png",
    "adriankierman-report-page.png",
    "pexels-photo-1933873.png",
    "pexels-photo-3289880.png",
    "pexels-photo-4672246.png",
)
"""Pictures of CID22 that training does not see."""

RANGES = {"σ ≥ 5": (5.0, np.inf), "σ 2 to 5": (2.0, 5.0), "σ 0.5 to 2": (0.5, 2.0)}
AIMS = {"σ ≥ 5": "1.15", "σ 2 to 5": "1.35", "σ 0.5 to 2": "-"}
SHIPPED = Path("src/memnet_core/noise/noise.safetensors")
CLEAN = 0.05
"""Gray levels below which a picture counts as clean."""

BALANCE = (2.0, 1.0, 1.6)
"""Gains of red, green and blue of the simulated color camera."""


@dataclass(frozen=True)
class Example:
    """A plane in about [0, 1], and its noise in gray levels for cells of 8×8 px."""

    kind: str
    name: str
    plane: Plane
    truth: Plane


@dataclass(frozen=True)
class Reading:
    """What was found: numbers of the picture, and factors by which cells are off."""

    kind: str
    name: str
    truth: float
    network: float
    pooled: float
    cells: NDArray[np.float64]


def root_mean_square(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def whole_cells(plane: NDArray[Any]) -> NDArray[Any]:
    return plane[tuple(slice(side - side % 8) for side in plane.shape[:2])]


def example(kind: str, name: str, noisy: NDArray[Any], clean: NDArray[Any]) -> Example:
    """Make an example of planes in gray levels, which may differ in brightness."""
    noisy, clean = whole_cells(noisy), whole_cells(clean)
    difference = noisy.astype(np.float64) - clean
    truth = local_deviation(difference - difference.mean())
    return Example(kind, name, noisy / 255, truth)


def luminance(path: Path) -> Plane:
    with Image.open(path) as file:
        plane: Plane = full_range_luminance(np.asarray(file.convert("RGB"), np.float64))
    return plane


def real() -> Iterator[Example]:
    for path in sorted((SHARED / "data/noise/PolyU").glob("*_real.JPG")):
        mean = path.with_name(path.name.replace("_real", "_mean"))
        yield example("PolyU, cameras", path.stem, luminance(path), luminance(mean))
    for path in sorted((SHARED / "data/noise/FMD").glob("*_raw.png")):
        mean = path.with_name(path.name.replace("_raw", "_gt"))
        yield example("FMD, fluorescence", path.stem, luminance(path), luminance(mean))


def white() -> Iterator[Example]:
    """Yield photographs with white noise, every second one clipped and rounded."""
    for number, path in enumerate(sorted((BENCH / "S14").glob("*.bmp"))):
        clean = luminance(path)
        for sigma in (2, 3, 5, 10, 25, 50, 70):
            rng = np.random.default_rng([number, sigma])
            noisy = clean + rng.normal(0, sigma, clean.shape)
            if number % 2:
                noisy = noisy.clip(0, 255).round()
            yield example("S14, white", f"{path.stem} σ {sigma}", noisy, clean)


def blurred() -> Iterator[Example]:
    """Yield photographs with noise that neighbors share, clipped and rounded."""
    for number, path in enumerate(sorted((BENCH / "Set12").glob("*.png"))):
        clean = luminance(path)
        for sigma in (3, 8, 20, 40):
            rng = np.random.default_rng([number, sigma])
            width = (0.4, 0.6, 0.9)[number % 3]
            noise = microscopy.blurred(rng.standard_normal(clean.shape), width)
            noisy = (clean + sigma * noise / noise.std()).clip(0, 255).round()
            name = f"{path.stem} σ {sigma}, {width} px"
            yield example("Set12, blurred", name, noisy, clean)


def cameras() -> Iterator[Example]:
    """Yield luminance of simulated color photographs: mosaic, tone curve, JPEG."""
    for number, name in enumerate(LEFT_OUT):
        with Image.open(CID22 / name) as file:
            picture = np.asarray(file.convert("RGB"), np.float64) / 255
        electrons = (8000, 2000, 500)[number % 3]
        quality = (85, 92, 97)[number // 3 % 3]
        rng = np.random.default_rng(number)
        mask = bayer(*picture.shape[:2])
        light = np.sum(picture**2.2 / BALANCE * mask, axis=2)
        counts = rng.poisson(electrons * light) + rng.normal(0, 4, light.shape)
        noisy, clean = (
            luminance_of(jpeg(developed(mosaic), quality))
            for mosaic in (counts / electrons, light)
        )
        said = f"{Path(name).stem} {electrons} e⁻ q {quality}"
        yield example("simulated cameras", said, noisy, clean)


def bayer(height: int, width: int) -> Plane:
    """Return which color each pixel sees (RGGB), shape (H, W, 3)."""
    mask = np.zeros((height, width, 3))
    mask[::2, ::2, 0] = mask[1::2, 1::2, 2] = 1
    mask[..., 1] = 1 - mask.sum(axis=2)
    return mask


def developed(mosaic: Plane) -> Plane:
    """Demosaic (Malvar, He and Cutler, ICASSP 2004), balance, apply the tone curve."""
    cross = np.zeros((5, 5))
    cross[2], cross[:, 2] = (-1, 2, 4, 2, -1), (-1, 2, 4, 2, -1)
    across = np.zeros((5, 5))
    across[2], across[:, 2] = (-1, 4, 5, 4, -1), (0.5, 0, 5, 0, 0.5)
    across[1::2, 1::2] = -1
    corners = np.zeros((5, 5))
    corners[2], corners[:, 2] = (-1.5, 0, 6, 0, -1.5), (-1.5, 0, 6, 0, -1.5)
    corners[1::2, 1::2] = 2
    kernels = torch.tensor(np.stack([cross, across, across.T, corners]) / 8)
    padded = F.pad(torch.tensor(mosaic)[None, None], (2, 2, 2, 2), "reflect")
    green, in_row, in_column, opposite = F.conv2d(padded, kernels[:, None])[0].numpy()
    mask = bayer(*mosaic.shape).astype(bool)
    is_red_row = np.arange(len(mosaic))[:, None] % 2 == 0
    red = np.where(is_red_row, in_row, in_column)
    blue = np.where(is_red_row, in_column, in_row)
    red, blue = (
        np.where(
            mask[..., seen], mosaic, np.where(mask[..., 2 - seen], opposite, other)
        )
        for seen, other in ((0, red), (2, blue))
    )
    green = np.where(mask[..., 1], mosaic, green)
    colors = np.stack([red, green, blue], axis=2) * BALANCE
    tones: Plane = 255 * colors.clip(0, 1) ** (1 / 2.2)
    return tones


def jpeg(picture: Plane, quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    pixels = picture.round().clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def luminance_of(picture: NDArray[np.uint8]) -> Plane:
    plane: Plane = full_range_luminance(picture.astype(np.float64))
    return plane


def counted() -> Iterator[Example]:
    """Yield simulated microscopes of 16 bits on a scale of their own values."""
    for label, scene, values, truth, _ in microscopy.examples():
        low, high = np.percentile(values, (0.1, 99.9))
        # Hot pixels are seen, but they are no noise that is to be read.
        hot = 400.0 * (values - truth > 200) if "hot pixels" in label else 0.0
        noisy, clean = ((v - low) * 255 / (high - low) for v in (values, truth + hot))
        yield example("simulated microscopes", f"{scene} {label}", noisy, clean)


def clean() -> Iterator[Example]:
    for name in LEFT_OUT:
        plane = luminance(CID22 / name)
        yield example("clean CID22", name, plane, plane)
    for path in sorted((BENCH / "Set12").glob("*.png")):
        plane = luminance(path)
        yield example("clean Set12", path.name, plane, plane)
    for number in range(1000, 1040):
        picture = luminance_of(synthetic_picture(number))
        kind = [*KINDS][number % len(KINDS)]
        yield example("clean, made by program", f"{kind} {number}", picture, picture)


def readings(model: Path) -> Iterator[Reading]:
    network, _ = load_noise_network(model)
    sources: Sequence[Callable[[], Iterator[Example]]] = (
        real, white, blurred, cameras, counted, clean
    )  # fmt: skip
    for source in sources:
        for found in source():
            read = noise_map(network, found.plane)
            noisy = found.truth > CLEAN
            pooled = readings_of(network, [found.plane.astype(np.float32)])
            yield Reading(
                found.kind,
                found.name,
                root_mean_square(found.truth),
                root_mean_square(read),
                pooled.level(pooled.curve()),
                np.stack([found.truth[noisy], read[noisy]]).astype(np.float64),
            )


def factors(true: NDArray[Any], read: NDArray[Any]) -> NDArray[np.float64]:
    """Return |log σ̂/σ|; what reads as less than a tenth of a level counts as that."""
    result: NDArray[np.float64] = np.abs(np.log(np.maximum(read, 0.1) / true))
    return result


def table(found: list[Reading]) -> Iterator[str]:
    yield "| noise | pictures | network | worst | cells | by brightness | worst |"
    yield "|---|---|---|---|---|---|---|"
    kinds = [*dict.fromkeys(r.kind for r in found if r.truth > CLEAN)]
    for words, (low, high) in RANGES.items():
        for kind in (None, *kinds):
            some = [
                r for r in found if low <= r.truth < high and kind in (None, r.kind)
            ]
            if not some:
                continue
            truth = np.array([r.truth for r in some])
            ours = factors(truth, np.array([r.network for r in some]))
            pooled = factors(truth, np.array([r.pooled for r in some]))
            true, read = np.concatenate([r.cells for r in some], axis=1)
            inside = (true >= low) & (true < high)
            cells = factors(true[inside], read[inside])
            name = f"**{words}** (aim {AIMS[words]})" if kind is None else kind
            values = (
                ours.mean(),
                ours.max(),
                cells.mean(),
                pooled.mean(),
                pooled.max(),
            )
            shown = " | ".join(f"{value:.2f}" for value in np.exp(values))
            yield f"| {name} | {len(some)} | {shown} |"
    yield ""
    yield "| clean, σ read | pictures | network | most | by brightness | most |"
    yield "|---|---|---|---|---|---|"
    for kind in dict.fromkeys(r.kind for r in found if r.truth <= CLEAN):
        some = [r for r in found if r.kind == kind]
        parts = [(np.median(v), np.max(v)) for v in zip(*((r.network, r.pooled)
                 for r in some), strict=True)]  # fmt: skip
        shown = " | ".join(f"{value:.2f}" for part in parts for value in part)
        yield f"| {kind} | {len(some)} | {shown} |"


def draw(found: list[Reading], path: Path) -> None:
    """Draw estimates over the truth, of the network and by brightness."""
    figure = Figure((11, 5.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    ends = (0.15, 110)
    for axes, title in zip(panels, ("network", "by brightness"), strict=True):
        axes.fill_between(ends, [e / 1.35 for e in ends], [e * 1.35 for e in ends],
                          color="0.9", label="within a factor of 1.35")  # fmt: skip
        axes.plot(ends, ends, color="0.5", linewidth=0.8)
        for kind in dict.fromkeys(r.kind for r in found):
            some = [r for r in found if r.kind == kind]
            read = [r.network if title == "network" else r.pooled for r in some]
            axes.plot(
                np.clip([r.truth for r in some], 0.2, None),
                np.clip(read, 0.2, None), ".", markersize=5, label=kind,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=title,
                 xlabel="true σ of a picture, gray levels (clean ones at 0.2)",
                 aspect="equal")  # fmt: skip
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("σ that was read")
    panels[1].legend(fontsize="small", loc="lower right")
    figure.savefig(path, dpi=100)


def link(source: Path, folder: Path) -> None:
    """Fill a folder with links to the pictures to train on."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        place = folder / path.name
        if path.name not in LEFT_OUT and not place.exists():
            place.symlink_to(path.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--model", type=Path, default=Path("src/memnet_core/noise/noise.safetensors")
    )
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--list", action="store_true", help="print every file, too")
    parser.add_argument("--link", nargs=2, type=Path, metavar=("SOURCE", "FOLDER"))
    options = parser.parse_args()
    if options.link:
        link(*options.link)
        return
    found = []
    for reading in readings(options.model):
        found.append(reading)
        if options.list:
            read = f"network {reading.network:.2f}, by brightness {reading.pooled:.2f}"
            name = f"{reading.kind}: {reading.name}"
            print(f"{name}: true {reading.truth:.2f}, {read}", flush=True)
    print("\n".join(table(found)))
    draw(found, options.out / "noise-estimates.png")


if __name__ == "__main__":
    main()
