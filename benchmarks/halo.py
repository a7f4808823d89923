"""What a halo smaller than the receptive field costs in accuracy and saves in time.

Usage: python benchmarks/halo.py [MODEL] [TILE]

Restores the q 10 JPEG of a picture of scikit-image in tiles, and compares with the
whole image: largest and root-mean-square difference in grey levels of 255, and time
relative to the exact halo.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import skimage.data

from memnet_core.degradations import jpeg
from memnet_core.engine import Restorer, result_of
from memnet_core.model.file import load_model
from memnet_core.model.zoo import find_model


def main(name: str = "deblock", tile: str = "128") -> None:
    model, card = load_model(find_model(name).path)
    picture = np.asarray(skimage.data.camera())  # type: ignore[no-untyped-call]
    plane = (jpeg(picture, 10)[None] / 255).astype(np.float32)
    whole = result_of(Restorer(model, tile=plane.shape[-1]).restore(plane))
    radius = card.architecture.radius()
    rows = []
    for halo in (0, 4, 8, 16, 32, radius):
        restorer = Restorer(model, tile=int(tile), halo=halo)
        started = time.perf_counter()
        tiled = result_of(restorer.restore(plane))
        seconds = time.perf_counter() - started
        difference = 255 * (tiled - whole)
        rows.append((halo, np.abs(difference).max(), difference.std(), seconds))
    print(f"{card.name}, tiles of {tile} px; exact halo {radius} px")
    print("halo   largest   rms      time")
    for halo, largest, rms, seconds in rows:
        print(f"{halo:<6} {largest:<9.4f} {rms:<8.5f} {seconds / rows[-1][3]:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
