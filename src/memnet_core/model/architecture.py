"""Hyper-parameters of a MemNet, and quantities derived from them."""

from __future__ import annotations

from dataclasses import dataclass

from memnet_core.errors import UsageError

__all__ = ["Architecture"]


_LARGEST = {"memory_blocks": 100, "recursions": 100, "channels": 4096, "unshuffle": 16}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The hyper-parameters that determine a MemNet.

    The defaults are the paper's 80-layer network M6R6 (section 5.2).

    Parameters
    ----------
    memory_blocks : int
        Number M of memory blocks, at least 1.
    recursions : int
        Number R of residual building blocks in each recursive unit, at least 1.
    channels : int
        Number of filters of every inner convolution, at least 1.
    unshuffle : int
        Factor u of the pixel-unshuffle before FENet and the pixel-shuffle after
        ReconNet; 1 is the paper's network.
    multi_supervised : bool
        Whether every memory block makes a prediction (eq. 11) or only the last (eq. 3).
    long_term : bool
        Whether the gate units see the outputs of earlier blocks; False is MemNet_NL.
    short_term : bool
        Whether the gate units see every recursion or only the last; False is MemNet_NS.
    fenet_norm : bool
        Whether BatchNorm and ReLU precede the first convolution, as in the authors'
        Caffe graph; False is eq. 1 to the letter.
    image_channels : int
        Planes that are restored together: 1 for gray, 3 for color.
    level_map : bool
        Whether one more input plane holds the level of degradation.
    chroma_level : bool
        Whether a second level plane holds that of chroma, behind that of luminance, for
        color JPEGs: their tables differ. Colors are R, G and B all the same: the first
        and the last convolution are linear, so Y, Cb and Cr are but another basis.
    batch_norm : bool
        Whether BatchNorm precedes every ReLU, as in the paper. Without it τ is a plain
        ReLU: training and evaluation compute the same function, and the ReLU of a
        memory serves all gate units.

    Raises
    ------
    ValueError
        If a count is smaller than 1, or beyond anything that can be computed, an
        `image_channels` is neither 1 nor 3, `fenet_norm` is set without `batch_norm`,
        or `chroma_level` without three `image_channels` and a `level_map`.
    """

    memory_blocks: int = 6
    recursions: int = 6
    channels: int = 64
    unshuffle: int = 1
    multi_supervised: bool = True
    long_term: bool = True
    short_term: bool = True
    fenet_norm: bool = False
    image_channels: int = 1
    level_map: bool = False
    batch_norm: bool = True
    chroma_level: bool = False

    def __post_init__(self) -> None:
        if self.fenet_norm and not self.batch_norm:
            raise ValueError("fenet_norm needs batch_norm.")
        if self.image_channels not in (1, 3):
            raise ValueError(
                f"image_channels must be 1 or 3, not {self.image_channels}."
            )
        if self.chroma_level and not (self.level_map and self.image_channels == 3):
            raise ValueError("chroma_level needs level_map and image_channels 3.")
        for name, most in _LARGEST.items():
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, not {getattr(self, name)}."
                )
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name} must be at most {most}, not {getattr(self, name)}."
                )

    @property
    def depth(self) -> int:
        """Number of layers on the longest path, 1 + M(2R + 1) + 1 (Table 6)."""
        return 1 + self.memory_blocks * (2 * self.recursions + 1) + 1

    @property
    def level_planes(self) -> int:
        """Number of planes that hold levels, 0 to 2."""
        return self.level_map + self.chroma_level

    @property
    def input_channels(self) -> int:
        """Number of planes fed to the network: those of the image, then the levels."""
        return self.image_channels + self.level_planes

    @property
    def predictions(self) -> int:
        """Number of predictions the network makes: M, or 1 without supervision."""
        return self.memory_blocks if self.multi_supervised else 1

    def radius(self, exit_block: int | None = None) -> int:
        """Receptive-field radius in pixels, u(2 + 2mR), of the m-th prediction.

        For u > 1 it counts from the u×u cell of a pixel, on a grid of multiples of u.

        Parameters
        ----------
        exit_block : int, optional
            Memory block m = 1..M after which to stop; M by default.
        """
        blocks = self.memory_blocks if exit_block is None else exit_block
        return self.unshuffle * (2 + 2 * blocks * self.recursions)

    def gate_inputs(self, block: int) -> int:
        """Return how many groups of feature maps enter the gate of `block` (0..)."""
        long_term = block + 1 if self.long_term else 0
        return long_term + (self.recursions if self.short_term else 1)

    def multiply_adds(self, exit_block: int | None = None) -> float:
        """Multiply-adds of the convolutions for one pixel of the m-th prediction."""
        blocks = self.memory_blocks if exit_block is None else exit_block
        planes = self.input_channels + self.image_channels
        ends = planes * 9 * self.channels * self.unshuffle**2
        recursive = blocks * self.recursions * 2 * 9 * self.channels**2
        gates = sum(self.gate_inputs(m) for m in range(blocks)) * self.channels**2
        return (ends + recursive + gates) / self.unshuffle**2

    def check_exit_block(self, exit_block: int | None) -> None:
        """Raise UsageError if the network makes no prediction after `exit_block`."""
        if exit_block in (None, self.memory_blocks):
            return
        if not self.multi_supervised:
            raise UsageError(
                "A network without multi-supervision predicts only after its last "
                f"memory block, {self.memory_blocks}; exit block {exit_block} does "
                "not exist."
            )
        if exit_block not in range(1, self.memory_blocks):
            raise UsageError(
                f"Exit block {exit_block} does not exist: this network has memory "
                f"blocks 1 to {self.memory_blocks}."
            )
