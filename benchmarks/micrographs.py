"""Real micrographs: their noise, and what is removed from them.

    python benchmarks/micrographs.py --out docs

prints, for each file of ../shared/data/micro, the noise line that is found and what the
residual is like (as `memnet analyze residual` does), and draws noise-lines.png, the
variances of classes of like brightness and the line through them, and micrographs.png,
a part of each file before and after, what was removed, and its correlation (of the
first channel, where there are several).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from memnet_core import open_image, residual_of, restore
from memnet_core.noise.estimation import estimate_noise_model, noise_points
from memnet_core.paper.figures import draw_residuals
from memnet_core.sources.sampling import sampled_blocks, sampled_planes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from memnet_core.noise.estimation import PoissonGaussianNoise

MICRO = Path(__file__).parents[2] / "shared/data/micro"
SIDE = 256


def channels() -> Iterator[tuple[str, list[NDArray[Any]], NDArray[Any]]]:
    """Yield the name of each channel, a sample of it, and a part of its middle plane.

    The samples of colors are channels, too.
    """
    for file in sorted(MICRO.glob("*/*.tif")):
        with open_image(file) as source:
            for number in range(source.channels):
                planes = sampled_planes(source, number)
                blocks = sampled_blocks(source, planes)
                _, height, width, samples = source.shape
                part = [
                    slice(max(0, n - SIDE) // 2, max(0, n - SIDE) // 2 + min(n, SIDE))
                    for n in (height, width)
                ]
                shown = source.read(planes[len(planes) // 2], part[0], part[1])
                for sample in range(samples):
                    several = source.channels * samples > 1
                    stem = file.stem.partition("_")[0]
                    title = stem if file.parent.name == "cc-by" else f"lysosome {stem}"
                    name = f"{title}, {number + sample}" if several else title
                    yield name, [b[..., [sample]] for b in blocks], shown[..., sample]


def draw_lines(
    found: dict[str, tuple[list[NDArray[Any]], PoissonGaussianNoise]],
) -> Figure:
    """Draw variance over mean of each channel."""
    rows = -(-len(found) // 3)
    figure = Figure((10, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, (name, (blocks, line)) in zip(grid, found.items(), strict=False):
        mean, variance, _ = noise_points(blocks)
        axes.plot(mean, variance, ".", color="tab:blue")
        ends = np.array([mean.min(), mean.max()])
        axes.plot(ends, line.gain * ends + line.constant, color="tab:orange")
        axes.set_title(f"{name}: {line.gain:.2g} per e⁻", fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.set_ylim(0, 1.3 * variance.max())
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    figure.supxlabel("mean, in values of the image", fontsize="small")
    figure.supylabel("variance of the noise", fontsize="small")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs"))
    folder = parser.parse_args().out
    lines, residuals = {}, {}
    print("| file, channel | noise | removed | neighbors | structure |")
    print("|---|---|---|---|---|")
    for name, blocks, before in channels():
        line = estimate_noise_model(blocks)
        assert line
        noise = (line.gain, line.constant)
        after = restore(
            before.astype(np.float32), noise=noise, nearest=True, device="cpu"
        )
        found = residual_of(before, after)
        lines[name], residuals[name] = (blocks, line), found
        told = f"{found.across:+.2f}, {found.down:+.2f} | {found.structure:+.2f}"
        print(f"| {name} | {line} | {found.removed.std():.2f} σ | {told} |", flush=True)
    draw_lines(lines).savefig(folder / "noise-lines.png", dpi=80)
    shown = {
        n: found for n, found in residuals.items() if not n.endswith((", 1", ", 2"))
    }
    draw_residuals(shown).savefig(folder / "micrographs.png", dpi=72)


if __name__ == "__main__":
    main()
