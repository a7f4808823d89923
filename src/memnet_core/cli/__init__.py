"""The ``memnet`` command."""

from memnet_core.cli._app import main

__all__ = ["main"]
