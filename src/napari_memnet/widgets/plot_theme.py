"""Plots in the colours of napari's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari.utils.theme import get_theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Colours", "colours_of", "paint"]


class Colours(NamedTuple):
    """Of what is behind a plot and of what is drawn on it, as ``#rrggbb``."""

    face: str
    ink: str


def colours_of(theme: str) -> Colours:
    """Return the colours of a theme, by its name in napari."""
    found = get_theme(theme)
    return Colours(found.background.as_hex(), found.text.as_hex())


def paint(figure: Figure, colours: Colours) -> None:
    """Give all of a figure but its lines and images the colours of a theme."""
    face, ink = colours
    figure.set_facecolor(face)
    for axes in figure.axes:
        axes.set_facecolor(face)
        axes.tick_params(colors=ink, which="both")
        inked = [axes.xaxis.label, axes.yaxis.label, axes.title]
        if legend := axes.get_legend():
            legend.get_frame().set_facecolor(face)
            inked += legend.get_texts()
        for text in inked:
            text.set_color(ink)
        for spine in axes.spines.values():
            spine.set_edgecolor(ink)
