"""Sample data: one picture for each task, made here or freely licensed."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    LayerData = tuple[NDArray[Any], dict[str, Any], str]

__all__ = ["jpeg_q10", "low_light", "noisy_stack", "small_image"]

_PLANES, _SIDE = 24, 256
_OFFSET = 1000


def jpeg_q10() -> list[LayerData]:
    """Return scikit-image's cameraman (CC0), compressed as JPEG of quality 10."""
    from skimage.data import camera

    from memnet_core.jpeg.coding import luminance_table
    from memnet_core.tasks.deblock import jpeg

    quality = 10
    picture = jpeg(camera(), quality)  # type: ignore[no-untyped-call]
    # There is no file to read the quality from, as there is for pictures one opens.
    tables = (tuple(luminance_table(quality).tolist()),)
    attributes = {
        "name": f"camera, JPEG q {quality}",
        "metadata": {"memnet": {"jpeg_tables": tables}},
    }
    return [(picture, attributes, "image")]


def noisy_stack() -> list[LayerData]:
    """Return a simulated 16-bit stack of bright threads and cells, with voxel size.

    Photons are counted (Poisson), and read with an offset and Gaussian noise.
    """
    rng = np.random.default_rng(0)
    clean = _threads(rng) + _cells(rng)
    photons = rng.poisson(60 * clean + 4)
    counts = 100 + 12 * photons + rng.normal(0, 30, photons.shape)
    stack = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    attributes = {
        "name": "threads and cells, noisy",
        "scale": (0.5, 0.1, 0.1),
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": (100, 1500),
    }
    return [(stack, attributes, "image")]


def low_light() -> list[LayerData]:
    """Return a movie of lysosomes, and as 20 photo-electrons at its peak show it.

    The movie is real (BoHuangLab, MIT; `samples/LICENSE-lysosomes`) and nearly free of
    noise. The second layer is simulated with shot noise, and read noise of 0.4
    electrons. Both have an offset, so that noise is not cut off at 0.
    """
    from memnet_core.io import open_image

    path = resources.files("napari_memnet") / "samples" / "lysosomes.ome.tif"
    with resources.as_file(path) as file, open_image(file) as movie:
        pixels = movie.image().pixels
        steps = movie.metadata.calibration
    black = float(pixels.min())
    electron = (float(np.percentile(pixels, 99.9)) - black) / 20
    rng = np.random.default_rng(0)
    photons = rng.poisson((pixels - black) / electron)
    counts = _OFFSET + black + electron * (photons + rng.normal(0, 0.4, pixels.shape))
    noisy = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    placed = {
        "scale": [steps.spacing[axis] for axis in "TYX"],
        "units": [steps.units[axis] for axis in "TYX"],
        "axis_labels": ("t", "y", "x"),
        "colormap": "green",
    }
    clean = placed | {"name": "lysosomes (real)", "visible": False}
    shown = placed | {"name": "lysosomes, low light (simulated)"}
    limits = {"contrast_limits": (_OFFSET, _OFFSET + 12000)}
    return [
        (pixels + np.uint16(_OFFSET), clean | limits, "image"),
        (noisy, shown | limits, "image"),
    ]


def small_image() -> list[LayerData]:
    """Return scikit-image's coffee cup (CC0) at a third of its size, for ×3."""
    from skimage.data import coffee

    from memnet_core.image_ops.resize import imresize

    picture = coffee().astype(np.float64)  # type: ignore[no-untyped-call]
    height, width = (side // 3 for side in picture.shape[:2])
    small = imresize(picture[: 3 * height, : 3 * width], (height, width))
    pixels = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return [(pixels, {"name": "coffee, small", "rgb": True}, "image")]


def _threads(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return smooth random curves through the volume."""
    volume = np.zeros((_PLANES, _SIDE, _SIDE))
    for _ in range(40):
        steps = np.cumsum(_smooth(rng.normal(0, 1, (900, 3)), 25, 0), axis=0)
        path = rng.uniform(0, (_PLANES, _SIDE, _SIDE)) + steps * (0.8, 8, 8)
        z, y, x = np.rint(path).astype(int).T
        inside = (z >= 0) & (z < _PLANES) & (y >= 0) & (y < _SIDE)
        inside &= (x >= 0) & (x < _SIDE)
        volume[z[inside], y[inside], x[inside]] = 1
    blurred = _smooth(volume, 1, 1.2, 1.2)
    return 1.6 * blurred / float(blurred.max())


def _cells(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return dim ellipsoids."""
    z, y, x = np.ogrid[:_PLANES, :_SIDE, :_SIDE]
    volume = np.zeros((_PLANES, _SIDE, _SIDE))
    for _ in range(14):
        cz, cy, cx = rng.uniform(0, (_PLANES, _SIDE, _SIDE))
        rz, ry, rx = rng.uniform((4, 14, 14), (8, 30, 30))
        inside = ((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        volume[inside] = rng.uniform(0.2, 0.5)
    return _smooth(volume, 0.5, 1, 1)


def _smooth(values: NDArray[np.float64], *sigmas: float) -> NDArray[np.float64]:
    from skimage.filters import gaussian

    smooth: NDArray[np.float64] = gaussian(  # type: ignore[no-untyped-call]
        values, sigmas, mode="reflect"
    )
    return smooth
