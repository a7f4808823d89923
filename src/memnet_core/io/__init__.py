"""Reading and writing pixels and their metadata; knows nothing of networks."""

from memnet_core.io.api import (
    create_image,
    create_scenes,
    open_image,
    open_scenes,
    probe,
    save_image,
)
from memnet_core.io.core.format import FileSink, Format, PlaneWriter
from memnet_core.io.core.image import (
    Calibration,
    FormatMetadata,
    Image,
    Metadata,
    Probe,
)
from memnet_core.io.core.image_file import ImageFile, in_memory
from memnet_core.io.core.provenance import Provenance, provenance_of
from memnet_core.io.core.scenes import Scenes
from memnet_core.io.registry import (
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
from memnet_core.io.tiff.format import write_ome_tiff
from memnet_core.io.tiff.ome_fileset import is_set_member, set_members

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "REQUESTED_SUFFIXES",
    "Calibration",
    "FileSink",
    "Format",
    "FormatMetadata",
    "Image",
    "ImageFile",
    "Metadata",
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
