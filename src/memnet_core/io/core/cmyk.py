"""From CMYK to RGB."""

from __future__ import annotations

import io

from PIL import Image as PillowImage
from PIL import ImageCms

__all__ = ["rgb_of_cmyk"]


def rgb_of_cmyk(image: PillowImage.Image, profile: bytes | None) -> PillowImage.Image:
    """Convert by the profile of the file where it has a usable one.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode CMYK.
    profile : bytes, optional
        An ICC profile; one that is damaged counts as none.
    """
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")
