"""Reading and writing pixels and their metadata; knows nothing of networks."""

from memnet_core.io.calibration import Calibration
from memnet_core.io.files import (
    FORMATS,
    READABLE_SUFFIXES,
    open_stack,
    probe,
    read_image,
    suffix_format,
    suffix_of_format,
    write_image,
)
from memnet_core.io.image import Image, Metadata, Probe
from memnet_core.io.ome_zarr import is_zarr
from memnet_core.io.stack import PlaneCrops, Stack
from memnet_core.io.tiff_stack import tiff_like, write_ome_tiff

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "Calibration",
    "Image",
    "Metadata",
    "PlaneCrops",
    "Probe",
    "Stack",
    "is_zarr",
    "open_stack",
    "probe",
    "read_image",
    "suffix_format",
    "suffix_of_format",
    "tiff_like",
    "write_image",
    "write_ome_tiff",
]
