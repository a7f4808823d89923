"""Reading and writing pixels and their metadata; knows nothing of networks."""

from memnet_core.io.files import (
    FORMATS,
    READABLE_SUFFIXES,
    probe,
    read_image,
    suffix_format,
    suffix_of_format,
    write_image,
)
from memnet_core.io.image import Image, Metadata, Probe

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "Image",
    "Metadata",
    "Probe",
    "probe",
    "read_image",
    "suffix_format",
    "suffix_of_format",
    "write_image",
]
