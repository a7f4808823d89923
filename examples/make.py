"""Make the example images: pictures of scikit-image, compressed at JPEG quality 10."""

from __future__ import annotations

from pathlib import Path

import skimage.data
from PIL import Image

NAMES = ("astronaut", "camera", "chelsea", "coffee")
QUALITY = 10


def main() -> None:
    """Write the examples beside this script."""
    for name in NAMES:
        clean = Image.fromarray(getattr(skimage.data, name)())
        clean.save(Path(__file__).with_name(f"{name}.jpg"), quality=QUALITY)


if __name__ == "__main__":
    main()
