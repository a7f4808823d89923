"""Image restoration with MemNet: network, engine, tasks, files and training."""

from memnet_core._version import __version__

__all__ = ["__version__"]
