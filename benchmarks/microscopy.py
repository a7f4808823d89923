"""What is gained on images of few photons: simulated cameras, with the truth known.

    python benchmarks/microscopy.py --out docs

writes microscopy.csv and microscopy.png and prints the table as Markdown. Scenes are
means of movies of lysosomes, a photograph made dark (both from ../shared/data), and
drawn filaments and cells. PSNR is over the range of the truth, 0.1 to 99.9 %; results
are not rounded. BM3D takes part where the package bm3d (for non-commercial use only) is
installed, and is told the σ that our estimate gives.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image as Picture
from skimage.filters import gaussian
from skimage.restoration import denoise_nl_means

from memnet_core import restore
from memnet_core.errors import UsageError
from memnet_core.inference.analysis import analyze
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import Image, in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Plane = NDArray[np.float64]

SHARED = Path(__file__).parents[2] / "shared" / "data"
SIDE = 128


@dataclass(frozen=True)
class Camera:
    """What makes values of photons: values in the dark, values and noise of electrons.

    Its sensitivity is multiplied at random (EMCCD), which doubles the noise's variance.
    """

    black: float
    gain: float
    read: float
    multiplies: bool = False

    def photograph(self, electrons: Plane, rng: np.random.Generator) -> Plane:
        """Return values, of 16 bits."""
        counted = rng.poisson(electrons).astype(np.float64)
        if self.multiplies:
            counted = rng.gamma(np.maximum(counted, 1e-9)) * (counted > 0)
        read = counted + rng.normal(0, self.read, counted.shape)
        return np.clip(np.rint(self.black + self.gain * read), 0, 65535)


CAMERAS = {
    "sCMOS": Camera(100, 2.17, 1.6),
    "CCD": Camera(200, 1.0, 5.0),
    "EMCCD": Camera(500, 12.0, 0.2, multiplies=True),
}
CONDITIONS = [
    *(("sCMOS", electrons, "") for electrons in (3, 10, 30, 100, 1000, 4000)),
    ("CCD", 10, ""),
    ("CCD", 50, ""),
    ("EMCCD", 10, ""),
    ("EMCCD", 50, ""),
    ("sCMOS", 30, "hot pixels"),
    ("sCMOS", 30, "rows"),
    ("sCMOS", 30, "blur"),
]
"""Camera, photo-electrons at the peak, and what else is wrong."""


def spoiled(values: Plane, fault: str, rng: np.random.Generator) -> Plane:
    """Add one pixel of 1000 that is hot, offsets of rows, or a blur of 0.6 pixels."""
    if fault == "hot pixels":
        return values + (rng.random(values.shape) < 1e-3) * 400.0
    if fault == "rows":
        return values + rng.normal(0, 4, (len(values), 1))
    if fault == "blur":
        return blurred(values, 0.6)
    return values


@cache
def scenes() -> dict[str, Plane]:
    """Return clean pictures in [0, 1]."""
    found = {}
    for number in (1, 5):
        movie = tifffile.imread(SHARED / f"micro/lysosome/{number}.tif")
        found[f"lysosomes {number}"] = movie[:12].mean(0, dtype=np.float64)
    with Picture.open(SHARED / "bench/Set12/01.png") as file:
        found["photograph"] = np.asarray(file, np.float64)[60:188, 60:188] ** 3
    found["filaments"] = _filaments()
    found["cells"] = _cells()
    return {name: spread(scene) for name, scene in found.items()}


def spread(scene: Plane) -> Plane:
    low, high = np.percentile(scene, (0.5, 99.9))
    return np.asarray(np.clip((scene - low) / (high - low), 0, 1), np.float64)


def blurred(plane: Plane, deviation: float) -> Plane:
    result: Plane = gaussian(plane, deviation, mode="reflect")  # type: ignore[no-untyped-call]
    return result


def _filaments() -> Plane:
    rng = np.random.default_rng(0)
    drawn = np.zeros((SIDE, SIDE))
    for _ in range(20):
        y, x, turn = *rng.uniform(0, SIDE, 2), rng.uniform(0, 6.3)
        for _ in range(2 * SIDE):
            y, x, turn = y + np.sin(turn), x + np.cos(turn), turn + rng.normal(0, 0.06)
            if 0 <= y < SIDE and 0 <= x < SIDE:
                drawn[int(y), int(x)] += 1
    return blurred(drawn, 1.3)


def _cells() -> Plane:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    drawn = np.zeros((SIDE, SIDE))
    for _ in range(9):
        row, column = rng.uniform(0, SIDE, 2)
        distance = np.hypot(y - row, (x - column) * rng.uniform(0.7, 1.4))
        inside = distance < rng.uniform(9, 22)
        drawn[inside] = rng.uniform(0.15, 0.5)
        spots = inside & (rng.random(drawn.shape) < 0.02)
        drawn[spots] += 1.5
    return blurred(drawn, 1.0)


def ours(noise: Any, model: str | None) -> Callable[[Plane], Plane]:
    """Return the front door, for a map of the noise, its line, or what is chosen."""

    def restored(values: Plane) -> Plane:
        asked: Any = {"noise": noise, "model": model, "nearest": True, "device": "cpu"}
        try:
            return restore(values, "denoise", **asked)
        except UsageError:  # no noise that grows was found
            return values

    return restored


def classic(
    denoise: Callable[[Plane, float], Plane], noise: Any
) -> Callable[[Plane], Plane]:
    """Return a method that is told σ, on our scale of the values."""

    def restored(values: Plane) -> Plane:
        source = in_memory(Path("scene"), Image(values, "YX"))
        (channel,) = analyze(
            source, RestoreOptions(task="denoise", noise=noise)
        ).channels
        assert channel.scaling
        seen = channel.scaling.forward(values).astype(np.float64)
        after = denoise(seen, channel.level / 255).astype(np.float32)
        return values + channel.scaling.inverse_difference(values, after)

    return restored


def non_local_means(plane: Plane, sigma: float) -> Plane:
    return np.asarray(
        denoise_nl_means(plane, patch_size=5, patch_distance=6, h=0.8 * sigma,
                         sigma=sigma, fast_mode=True)
    )  # fmt: skip


def methods(model: str | None = None) -> dict[str, Callable[[Plane], Plane]]:
    found: dict[str, Callable[[Plane], Plane]] = {
        "noisy": lambda values: values,
        "non-local means": classic(non_local_means, "gaussian"),
        "non-local means, photons": classic(non_local_means, "auto"),
    }
    try:
        from bm3d import bm3d
    except ImportError:
        pass
    else:
        found["BM3D"] = classic(bm3d, "gaussian")
        found["BM3D, photons"] = classic(bm3d, "auto")
    return found | {
        "map": ours("gaussian", model),
        "line": ours("photons", model),
        "auto": ours("auto", model),
    }


def psnr(result: Plane, truth: Plane) -> float:
    low, high = np.percentile(truth, (0.1, 99.9))
    return float(10 * np.log10((high - low) ** 2 / np.mean((result - truth) ** 2)))


def examples() -> Iterator[tuple[str, str, Plane, Plane, Camera]]:
    """Yield condition, scene, values, truth and camera."""
    for name, electrons, fault in CONDITIONS:
        camera = CAMERAS[name]
        label = f"{name} {electrons} e⁻" + (f", {fault}" if fault else "")
        for number, (scene, clean) in enumerate(scenes().items()):
            rng = np.random.default_rng([number, electrons])
            values = camera.photograph(electrons * clean, rng)
            truth = camera.black + camera.gain * electrons * clean
            yield label, scene, spoiled(values, fault, rng), truth, camera


def draw(rows: list[tuple[str, list[Plane], Plane, Camera]], path: Path) -> None:
    """Draw results of one scene in rows, the truth last."""
    from matplotlib import pyplot as plt

    titles = [*methods(), "truth"]
    figure, grid = plt.subplots(
        len(rows), len(titles), figsize=(2 * len(titles), 2.15 * len(rows)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=8)
    for line, (label, results, truth, camera) in zip(grid, rows, strict=True):
        for axes, plane in zip(line, [*results, truth], strict=True):
            axes.imshow(plane, cmap="gray", vmin=camera.black, vmax=truth.max())
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, fontsize=8)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--model", help="name or file of our model")
    options = parser.parse_args()
    folder, ways = options.out, methods(options.model)
    scores: dict[str, list[list[float]]] = {}
    drawn = []
    with (folder / "microscopy.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["condition", "scene", *ways, "counts, auto"])
        for label, scene, values, truth, camera in examples():
            results = [method(values) for method in ways.values()]
            row = [psnr(result, truth) for result in results]
            scores.setdefault(label, []).append(row)
            kept = results[-1].sum() / values.sum() - 1
            shown = [f"{score:.2f}" for score in row]
            table.writerow([label, scene, *shown, f"{100 * kept:+.3f} %"])
            file.flush()
            if scene == "filaments" and label in ("sCMOS 10 e⁻", "sCMOS 100 e⁻"):
                drawn.append((label, results, truth, camera))
    draw(drawn, folder / "microscopy.png")
    print("| PSNR, dB |", " | ".join(ways), "|")
    print("|---" * (1 + len(ways)) + "|")
    for label, rows in scores.items():
        means = np.mean(rows, 0)
        print(f"| {label} |", " | ".join(f"{mean:.2f}" for mean in means), "|")


if __name__ == "__main__":
    main()
