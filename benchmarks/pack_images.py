"""Pack training images for another machine: gray planes, of some mebibytes at most.

Usage: python benchmarks/pack_images.py OUT MEBIBYTES FOLDER...

Each folder becomes one of the same name in OUT, with gray PNG files as the recipe
`fast` reads the originals. Where not all images fit, chance decides, alike every time.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from memnet_core.training.data.clean_images import read_clean_images

if TYPE_CHECKING:
    from numpy.typing import NDArray


def main(out: str, mebibytes: str, *folders: str) -> None:
    images = {
        f"{Path(folder).name}/{name}": plane
        for folder in folders
        for name, plane in read_clean_images(Path(folder), full_range=True)
    }
    left = most = int(float(mebibytes) * 2**20)
    packed = 0
    for name in sorted(images, key=_digest):
        data = _png(images[name])
        if len(data) > left:
            break
        left -= len(data)
        packed += 1
        target = Path(out) / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    if not packed:
        sys.exit(f"No image fits into {mebibytes} MiB; give more of them.")
    print(f"{packed} of {len(images)} images, {(most - left) / 2**20:.1f} MiB: {out}")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _png(plane: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    pixels = plane.round().clip(0, 255).astype("uint8")
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
