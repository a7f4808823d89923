"""What kind of noise there is: two choices of the form, for denoising alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox

from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

__all__ = ["NoiseFields"]


class NoiseFields:
    """Where noise is stronger, whether neighbours share it, and hot pixels.

    Attributes
    ----------
    noise : ComboBox
        Whether it grows with the signal; only where its strength is found out.
    grain : ComboBox
        Whether neighbouring pixels share it.
    hot_pixels : CheckBox
        Whether single pixels that are far too bright are replaced.
    """

    def __init__(self) -> None:
        self.noise = ComboBox(
            label="noise",
            choices=[
                ("automatic", "auto"),
                ("same everywhere", "gaussian"),
                ("of photons", "photons"),
            ],
            tooltip="Photons make more noise in bright places; it is evened out "
            "before the network, and counts are kept. “Automatic” does so where it "
            "shows beyond doubt.",
        )
        self.grain = ComboBox(
            label="grain",
            choices=[
                ("automatic", "auto"),
                ("each pixel its own", "white"),
                ("shared by neighbours", "correlated"),
            ],
            tooltip="Resizing, demosaicing and drift correction make neighbours share "
            "their noise; a model of its own removes that.",
        )
        self.hot_pixels = CheckBox(
            text="replace hot pixels",
            value=True,
            tooltip="Single pixels that are far brighter than noise of photons can "
            "make them; what a lens can show stays.",
        )

    @property
    def all(self) -> list[Widget]:
        """All fields, in the order of the form."""
        return [self.noise, self.grain, self.hot_pixels]

    @property
    def by_name(self) -> dict[str, Any]:
        """The fields, by the name under which a choice is remembered."""
        names = ("noise", "grain", "hot pixels")
        return dict(zip(names, self.all, strict=True))

    def show(self, task: str, *, is_open: bool, is_given: bool) -> None:
        """Show what matters for a task, whose level is given or found out."""
        is_noisy = is_open and TASKS[task].noisy
        self.grain.visible = is_noisy
        for field in (self.noise, self.hot_pixels):
            field.visible = is_noisy and not is_given

    def settings(self, task: str, *, is_given: bool) -> dict[str, Any]:
        """Return what they say to `memnet_core.inference.settings.Settings`."""
        if not TASKS[task].noisy:
            return {}
        asked = {"noise_grain": self.grain.value}
        if is_given:
            return asked
        hot = "auto" if self.hot_pixels.value else "keep"
        return asked | {"noise": self.noise.value, "hot_pixels": hot}
