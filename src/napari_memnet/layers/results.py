"""Restored regions as layers: their names, and that they lie on their source."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_memnet.layers.source import aligned_layer_attributes, origin, place_of
from napari_memnet.layers.view import window_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import LayerList
    from napari.viewer import Viewer

    from memnet_core.inference.settings import RestoreOptions
    from napari_memnet.layers.source import LayerRegion

__all__ = [
    "RestoredRegion",
    "add_result",
    "link_result",
    "mixes",
    "name_of",
    "place",
    "restored_already",
    "result_layer",
    "results_of",
    "source_of",
    "unlink",
]


_SHARED = ("colormap", "contrast_limits", "gamma")
_COVERING = ("opaque", "translucent", "translucent_no_depth")

_GROUPS: list[_Group] = []


def link_result(layers: LayerList, source: Image, made: Image) -> None:
    """Keep a layer in step with its source until one of them is removed.

    It ends, too, when the source gets other data, or `unlink` is called.

    Parameters
    ----------
    layers : LayerList
        Those of the viewer, which holds both.
    source, made : Image
        The layer, and what was made of it.
    """
    own, new = _own(layers, source), _own(layers, made)
    unlink(new)
    group = _group_of(own) or _Group(layers, own)
    group.add(new)


def place(layers: LayerList, source: Image, made: Image) -> None:
    """Put a layer on top, but below channels that are added to its source."""
    known = [*results_of(source), made]
    channels = [
        number
        for number, layer in enumerate(layers)
        if number > layers.index(source) and mixes(layer) and layer not in known
    ]
    layers.move(layers.index(made), channels[0] if channels else len(layers))


def unlink(made: Image) -> None:
    """End what `link_result` began, if it did."""
    for group in list(_GROUPS):
        if made in group.made:
            group.drop(made)


def results_of(source: Image) -> list[Image]:
    """Return what belongs to a layer."""
    group = _group_of(source)
    return [*group.made] if group else []


def source_of(made: Image) -> Image | None:
    """Return the layer that another one belongs to, if it does to any."""
    return next((group.source for group in _GROUPS if made in group.made), None)


def mixes(layer: Layer) -> bool:
    """Whether what lies below a layer can be seen through it."""
    return layer.opacity < 1 or str(layer.blending) not in _COVERING


class _Group:
    """A source and what was made of it, as the layers themselves, not proxies."""

    def __init__(self, layers: LayerList, source: Image) -> None:
        self.source = source
        self.made: list[Image] = []
        self._layers = layers
        self._hidden: Image | None = None
        self._is_busy = False
        _GROUPS.append(self)
        self._follow(source)
        source.events.data.connect(self._on_data)
        layers.events.removed.connect(self._on_removed)

    def add(self, made: Image) -> None:
        from napari.experimental import link_layers

        for other in (self.source, *self.made):
            link_layers([other, made], _SHARED)
        self.made.append(made)
        self._follow(made)
        self._show_one(made)

    def drop(self, made: Image) -> None:
        from napari.experimental import unlink_layers

        for other in (self.source, *self.made):
            if other is not made:
                unlink_layers([other, made], _SHARED)
        self.made.remove(made)
        self._forget(made)
        self._show_hidden()
        if not self.made:
            self._end()

    def _follow(self, layer: Image) -> None:
        for event in (layer.events.visible, layer.events.blending):
            event.connect(self._on_shown)
        layer.events.opacity.connect(self._on_shown)

    def _forget(self, layer: Image) -> None:
        for event in (layer.events.visible, layer.events.blending):
            event.disconnect(self._on_shown)
        layer.events.opacity.disconnect(self._on_shown)

    def _on_shown(self, event: Any) -> None:
        if self._is_busy:
            return
        if event.source.visible:
            self._show_one(event.source)
        else:
            self._show_hidden()

    def _show_one(self, layer: Image) -> None:
        if not (layer.visible and mixes(layer)):
            return
        with self._busy():
            for other in (self.source, *self.made):
                if other is not layer and other.visible:
                    other.visible = False
                    if other is self.source:
                        self._hidden = other

    def _show_hidden(self) -> None:
        """Show the source again that was hidden, once nothing is in its place."""
        if self._hidden is not None and not any(x.visible for x in self.made):
            with self._busy():
                self._hidden.visible = True
            self._hidden = None

    def _on_data(self, event: Any) -> None:
        for made in [*self.made]:
            if not _is_preview(made):
                self.drop(made)

    def _on_removed(self, event: Any) -> None:
        if self.source not in self._layers:
            self._hidden = None
            for made in [*self.made]:
                self.drop(made)
        for made in [x for x in self.made if x not in self._layers]:
            self.drop(made)

    def _end(self) -> None:
        if self in _GROUPS:
            _GROUPS.remove(self)
            self._forget(self.source)
            self.source.events.data.disconnect(self._on_data)
            self._layers.events.removed.disconnect(self._on_removed)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False


def _group_of(source: Image) -> _Group | None:
    return next((group for group in _GROUPS if group.source == source), None)


def _own(layers: LayerList, layer: Image) -> Image:
    """Return the layer itself, of which a plugin may hold a proxy."""
    own: Image = next(x for x in layers if x == layer)
    return own


def _is_preview(layer: Layer) -> bool:
    from napari_memnet.layers.source import origin

    return "preview" in origin(layer)


def add_result(viewer: Viewer, layer: Image, restored: RestoredRegion) -> Image:
    """Add a restored region to a viewer, in step with its source; return its layer."""
    made: Image = viewer.add_layer(Layer.create(*result_layer(layer, restored)))
    if layer in viewer.layers:
        link_result(viewer.layers, layer, made)
        place(viewer.layers, layer, made)
    return made


def restored_already(
    layer: Image, region: LayerRegion, settings: RestoreOptions
) -> Image | None:
    """Return the layer that holds what restoring a region would give, if one does."""
    for made in results_of(layer):
        told = origin(made)
        if told.get("preview") or told.get("settings") != asdict(settings):
            continue
        parts = zip(told["region"], region.slices, strict=True)
        if all(low <= part.start and part.stop <= high for (low, high), part in parts):
            return made
    return None


def name_of(layer: Image, restored: RestoredRegion) -> str:
    """Return a name that tells slice, task, level and model."""
    from memnet_core.tasks import find_task

    task, told = find_task(restored.task), restored.provenance
    places = place_of(layer, restored.region), window_of(layer, restored.region)
    place = ", ".join(filter(None, places))
    return (
        f"{layer.name}{f', {place},' if place else ''} {task.result} "
        f"{task.label(told['level'])} by {told['model']}"
    )


def result_layer(
    layer: Image, restored: RestoredRegion
) -> tuple[Any, dict[str, Any], str]:
    """Return a restored region as layer data: the twin of its source.

    Parameters
    ----------
    layer : Image
        The source.
    restored : RestoredRegion
        What came of it.

    Returns
    -------
    tuple
        Data, keyword arguments and ``image``, as ``Layer.create`` takes them.
    """
    name = name_of(layer, restored)
    attributes = aligned_layer_attributes(
        layer, name, restored.region.start, restored.scale
    )
    attributes["multiscale"] = isinstance(restored.data, list)
    attributes["metadata"]["memnet"] = restored.provenance | {
        "source": {"layer": layer.name, "path": layer.source.path}
    }
    return restored.data, attributes, "image"


@dataclass(frozen=True)
class RestoredRegion:
    """A restored region.

    Attributes
    ----------
    data : array or list of array
        A NumPy array; a Zarr array on disk; or those of several levels.
    region : Region
        Which part of the source it is.
    scale : int
        Pixels for each of the source, along Y and X.
    task : str
        What was done.
    provenance : dict
        How it came to be, as plain values.
    """

    data: Any
    region: LayerRegion
    scale: int
    task: str
    provenance: dict[str, Any]
