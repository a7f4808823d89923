"""Noise as cameras and microscopes make it, from a description that is drawn.

The description of a patch's noise is drawn by NumPy. From it NumPy makes the noise of
one patch, and `memnet_core.training.device_degradations` that of a batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Corners = tuple[float, float, float, float]
    """Logarithms of a factor at the corners of a patch, row by row."""

__all__ = ["HOT_MEAN", "WRAP", "Noise", "add_noise", "draw_noise"]

HOT_MEAN = 6.0
"""Mean excess of hot pixels, in standard deviations of the noise."""

WRAP = 8
"""Padding in pixels before the periodic blur by FFT; the widest blur correlates pixels
up to 6 px apart."""

_BLURRED_SHARE = 0.35
_WIDTHS = (0.35, 1.1)
_ANISOTROPIC_SHARE = 0.2
_SIGNAL_SHARE = 0.3
_FLOORS = (0.003, 0.5)
_VARYING_SHARE = 0.15
_WEAKEST = 1 / 3
_MISREAD_SHARE = 0.2
_MISREAD_BY = 1.3
_ROWS_SHARE = 0.05
_HOT_SHARE = 0.05

_EVEN: Corners = (0.0, 0.0, 0.0, 0.0)


class Noise(NamedTuple):
    """Noise of one patch.

    Attributes
    ----------
    sigma : float
        Largest local standard deviation, after blurring, in gray levels of 255.
    down, across : float
        Standard deviations in pixels of the Gaussian that blurred the noise along
        columns and rows; 0 for white noise.
    floor : float
        Variance of black as a fraction of that of the brightest pixel; between them it
        grows in proportion to the clean signal (photon noise). 1 for noise that does
        not depend on the signal.
    corners : (float, float, float, float)
        Logarithms of the factor that the deviation has at the corners of the patch, row
        by row; it is interpolated between them.
    edge, ratio : float
        Fraction of a side from which on the deviation is `ratio` times as large, as in
        the second half of a camera with two amplifiers.
    is_upright : bool
        Whether that edge runs from top to bottom.
    rows : float
        Share of the standard deviation that offsets of whole rows have.
    hot : float
        Fraction of the pixels that are hot.
    misread : (float, float, float, float)
        Logarithms of the error factor of the level map fed to the network, at the
        corners of the patch.
    """

    sigma: float
    down: float = 0.0
    across: float = 0.0
    floor: float = 1.0
    corners: Corners = _EVEN
    edge: float = 1.0
    ratio: float = 1.0
    is_upright: bool = False
    rows: float = 0.0
    hot: float = 0.0
    misread: Corners = _EVEN

    @property
    def is_white(self) -> bool:
        """Whether the noise is white and of one deviation, however that is read."""
        return self._replace(misread=_EVEN) == Noise(self.sigma)

    def gain(self, height: int, width: int) -> NDArray[np.float32]:
        """Return the factor of the deviation at every pixel, shape (H, W)."""
        factor = np.exp(_interpolated(self.corners, height, width))
        side = width if self.is_upright else height
        second = np.s_[:, round(self.edge * side) :]
        (factor if self.is_upright else factor.T)[second] *= self.ratio
        return factor

    def misreading(self, height: int, width: int) -> NDArray[np.float32]:
        """Return the ratio of level map to true deviation per pixel, shape (H, W)."""
        return np.exp(_interpolated(self.misread, height, width))

    def response(self, height: int, width: int) -> NDArray[np.float32]:
        """Return the blur's factors on the coefficients of `numpy.fft.rfft2`.

        White noise of unit variance has unit variance after it, too.
        """
        rows, columns = (
            np.exp(-2 * (math.pi * blur * np.fft.fftfreq(side)) ** 2)
            for blur, side in ((self.down, height), (self.across, width))
        )
        rows, columns = (r / np.sqrt(np.mean(r**2)) for r in (rows, columns))
        response: NDArray[np.float32] = np.outer(rows, columns[: width // 2 + 1])
        return response.astype(np.float32)


def draw_noise(sigma: float, rng: np.random.Generator) -> Noise:
    """Draw the noise of a patch; each property has its own probability.

    35 % is blurred by a Gaussian of 0.35 to 1.1 px, as demosaicing, resizing and drift
    correction do; 30 % grows with the signal; 15 % is of a strength that varies within
    the patch; rows with offsets and hot pixels are rare. The map of 20 % is misread, by
    a factor of 1/1.3 to 1.3.

    Parameters
    ----------
    sigma : float
        Largest local standard deviation in gray levels of 255.
    rng : numpy.random.Generator
        Decides on all of it.
    """
    drawn: dict[str, Any] = {}
    if rng.random() < _BLURRED_SHARE:
        drawn["down"] = drawn["across"] = rng.uniform(*_WIDTHS)
        if rng.random() < _ANISOTROPIC_SHARE:
            drawn["across"] = rng.uniform(*_WIDTHS)
    if rng.random() < _SIGNAL_SHARE:
        drawn["floor"] = math.exp(rng.uniform(*np.log(_FLOORS)))
    if rng.random() < _VARYING_SHARE:
        drawn |= _draw_variation(rng)
    if rng.random() < _ROWS_SHARE:
        drawn["rows"] = rng.uniform(0.1, 0.5)
    if rng.random() < _HOT_SHARE:
        drawn["hot"] = 10 ** rng.uniform(-4, -2.5)
    if rng.random() < _MISREAD_SHARE:
        drawn["misread"] = _draw_corners(
            -math.log(_MISREAD_BY), math.log(_MISREAD_BY), rng
        )
    return Noise(sigma, **drawn)


def _draw_variation(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a vignette, or the two halves of a camera."""
    weakest = math.log(_WEAKEST)
    if rng.random() < 0.5:
        corners = rng.uniform(weakest, 0, 4)
        return {"corners": tuple((corners - corners.max()).tolist())}
    halves = [math.exp(rng.uniform(weakest, 0)), 1.0]
    first, second = rng.permutation(halves).tolist()
    return {
        "corners": (math.log(first),) * 4,
        "edge": rng.uniform(0.2, 0.8),
        "ratio": second / first,
        "is_upright": bool(rng.random() < 0.5),
    }


def _draw_corners(low: float, high: float, rng: np.random.Generator) -> Corners:
    """Draw one number for all four corners, or one for each."""
    if rng.random() < 0.5:
        return (float(rng.uniform(low, high)),) * 4
    a, b, c, d = rng.uniform(low, high, 4).tolist()
    return a, b, c, d


def _interpolated(corners: Corners, height: int, width: int) -> NDArray[np.float32]:
    """Interpolate between corners linearly."""
    rows, columns = (
        np.stack([np.linspace(1, 0, side), np.linspace(0, 1, side)])
        for side in (height, width)
    )
    values = rows.T @ np.reshape(corners, (2, 2)) @ columns
    interpolated: NDArray[np.float32] = values.astype(np.float32)
    return interpolated


def add_noise(
    plane: NDArray[Any], noise: Noise, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add noise, without clipping, and return the map of its deviation, too.

    Parameters
    ----------
    plane : ndarray, shape (H, W) or (H, W, 3)
        Clean pixels in [0, 255].
    noise : Noise
        Parameters of the noise.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    noisy : ndarray of float64, of the shape of `plane`
        Pixels on the same scale, which may leave [0, 255].
    told : ndarray of float64, shape (H, W)
        Local standard deviation as read, in gray levels; of colors the root mean square
        over the channels. Hot pixels do not count.
    """
    height, width = plane.shape[:2]
    gain = noise.gain(height, width).reshape(height, width, *(1,) * (plane.ndim - 2))
    share = noise.floor + (1 - noise.floor) * plane / max(float(plane.max()), 1.0)
    deviation = noise.sigma * gain * np.sqrt(share)
    noisy = plane + deviation * _unit_noise(plane.shape, noise, rng)
    mean_square = np.mean(deviation.reshape(height, width, -1) ** 2, axis=2)
    return noisy, np.sqrt(mean_square) * noise.misreading(height, width)


def _unit_noise(
    shape: tuple[int, ...], noise: Noise, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return noise of unit deviation, hot pixels aside."""
    height, width = (side + WRAP for side in shape[:2])
    unit: NDArray[np.float64] = rng.standard_normal((height, width, *shape[2:]))
    if noise.down:
        response: NDArray[Any] = noise.response(height, width)
        per_channel = response.reshape(*response.shape, *(1,) * (unit.ndim - 2))
        coefficients = np.fft.rfft2(unit, axes=(0, 1)) * per_channel
        unit = np.fft.irfft2(coefficients, s=(height, width), axes=(0, 1))
    unit = unit[: shape[0], : shape[1]]
    if noise.rows:
        offsets = rng.standard_normal((shape[0], *(1,) * (len(shape) - 1)))
        unit = np.sqrt(1 - noise.rows**2) * unit + noise.rows * offsets
    if noise.hot:
        is_hot = rng.random(shape) < noise.hot
        unit = unit + is_hot * rng.exponential(HOT_MEAN, shape)
    return unit
