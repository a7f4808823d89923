"""Adapting a model to a layer: a generator that a worker drives; no Qt here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_memnet.layers.source import layer_planes

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Image

    from memnet_core.adaptation.result import AdaptOptions, AdaptResult, Event
    from memnet_core.inference.settings import RestoreOptions
    from napari_memnet.jobs.restore import RestoreRequest

__all__ = ["adapt_layer", "axes_of_frames", "default_name"]


def axes_of_frames(layer: Image) -> list[tuple[str, int]]:
    """Return names and numbers of the axes along which frames may show the same.

    Raises
    ------
    ImageError
        If the layer is no image of planes.
    """
    planes = layer_planes(layer)
    sizes = planes.region.shape[:-2]
    labels = [str(label) for label in layer.axis_labels[: len(sizes)]]
    return [
        (f"{_named(label, axis)} ({size} frames)", axis)
        for axis, (label, size) in enumerate(zip(labels, sizes, strict=True))
        if size > 1 and axis != planes.channel_axis
    ]


def _named(label: str, axis: int) -> str:
    """Return what an axis is called; napari's names for those without are numbers."""
    return f"axis {axis}" if label.lstrip("-").isdigit() else label


def default_name(layer: Image) -> str:
    """Return a name for a model that is adapted to a layer."""
    from memnet_core.adaptation.result import model_name

    return model_name(layer.name)


def adapt_layer(
    source: RestoreRequest, axis: int, settings: RestoreOptions, request: AdaptOptions
) -> Generator[Event, None, AdaptResult]:
    """Adapt a model to a layer; closing the generator cancels, and writes nothing.

    Parameters
    ----------
    source : RestoreRequest
        What is known of the layer.
    axis : int
        The axis along which frames show the same.
    settings : RestoreOptions
        How it will be restored.
    request : AdaptOptions
        How to adapt.

    Yields
    ------
    Event
        As `memnet_core.adaptation.runner.run_adaptation`.

    Returns
    -------
    AdaptResult
        What became of it; the model is installed if it is better.

    Raises
    ------
    MemnetError
        If the layer, the model or the name does not serve.
    """
    from memnet_core.adaptation.clips import series_along
    from memnet_core.adaptation.runner import run_adaptation

    series = series_along(source.planes.region.shape[:-2], axis)
    return (yield from run_adaptation(source.planes, series, settings, request))
