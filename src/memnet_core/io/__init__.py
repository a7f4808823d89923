"""Reading and writing pixels and their metadata; knows nothing of networks."""

from memnet_core.io.calibration import Calibration
from memnet_core.io.files import (
    create_image,
    create_scenes,
    open_image,
    open_scenes,
    probe,
    save_image,
)
from memnet_core.io.format import Format, PlaneWriter
from memnet_core.io.formats import (
    FORMATS,
    READABLE_SUFFIXES,
    REQUESTED_SUFFIXES,
    format_named,
    format_of_content,
    format_of_suffix,
    is_image_folder,
    is_known_kind,
    suffix_of_format,
)
from memnet_core.io.image import Image, Metadata, Native, Probe
from memnet_core.io.image_file import ImageFile, in_memory
from memnet_core.io.ome_set import is_set_member, set_members
from memnet_core.io.provenance import Provenance, provenance_of
from memnet_core.io.scenes import Scenes
from memnet_core.io.sink import FileSink
from memnet_core.io.tiff import write_ome_tiff

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "REQUESTED_SUFFIXES",
    "Calibration",
    "FileSink",
    "Format",
    "Image",
    "ImageFile",
    "Metadata",
    "Native",
    "PlaneWriter",
    "Probe",
    "Provenance",
    "Scenes",
    "create_image",
    "create_scenes",
    "format_named",
    "format_of_content",
    "format_of_suffix",
    "in_memory",
    "is_image_folder",
    "is_known_kind",
    "is_set_member",
    "open_image",
    "open_scenes",
    "probe",
    "provenance_of",
    "save_image",
    "set_members",
    "suffix_of_format",
    "write_ome_tiff",
]
