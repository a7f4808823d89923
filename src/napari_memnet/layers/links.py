"""A layer and what is made of it: one display, one place, one shown at a time.

Contrast, gamma and colormap are linked both ways. Layers that are added to what lies
below, as channels are, would be twice as bright with what is made of them on top; of
such a source and what is made of it, one is visible at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import LayerList
    from napari.layers import Image, Layer

__all__ = ["belong", "leave", "made_of", "mixes", "place", "source_of"]

_SHARED = ("colormap", "contrast_limits", "gamma")
_COVERING = ("opaque", "translucent", "translucent_no_depth")

_GROUPS: list[_Group] = []


def belong(layers: LayerList, source: Image, made: Image) -> None:
    """Keep a layer in step with its source until one of them is removed.

    It ends, too, when the source gets other data, or `leave` is called.

    Parameters
    ----------
    layers : LayerList
        Those of the viewer, which holds both.
    source, made : Image
        The layer, and what was made of it.
    """
    own, new = _own(layers, source), _own(layers, made)
    leave(new)
    group = _group_of(own) or _Group(layers, own)
    group.add(new)


def place(layers: LayerList, source: Image, made: Image) -> None:
    """Put a layer on top, but below channels that are added to its source."""
    known = [*made_of(source), made]
    channels = [
        number
        for number, layer in enumerate(layers)
        if number > layers.index(source) and mixes(layer) and layer not in known
    ]
    layers.move(layers.index(made), channels[0] if channels else len(layers))


def leave(made: Image) -> None:
    """End what `belong` began, if it did."""
    for group in list(_GROUPS):
        if made in group.made:
            group.drop(made)


def made_of(source: Image) -> list[Image]:
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
