"""napari plugin for image restoration with MemNet."""

from memnet_core._version import __version__

__all__ = ["__version__"]
