"""The one loop: windows of a source through the network into a sink."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from memnet_core.errors import DeviceError, NotFinite, OutOfMemory
from memnet_core.image_ops.color import without_alpha
from memnet_core.image_ops.dtype import to_dtype
from memnet_core.inference.channels import (
    IMAGES,
    add_chroma,
    from_planes,
    select_input,
)
from memnet_core.inference.jpeg import ChromaRowReader, ChromaSource, JpegConstraint
from memnet_core.inference.noise_map import NoiseMap
from memnet_core.inference.plan import plane_scaling
from memnet_core.inference.scaling import AnscombeScaling
from memnet_core.inference.tta import TURNS, average_over_dihedral
from memnet_core.noise.file import shipped_noise_network
from memnet_core.progress import Notice, Progress
from memnet_core.sources.frame_average import TemporalAverage
from memnet_core.sources.hot_pixels import HotPixelsRemoved
from memnet_core.sources.protocols import SourceWrapper
from memnet_core.sources.regions import PixelRegion, input_window, split_columns
from memnet_core.sources.wrappers import BicubicUpsampled, NaNFilled, is_constant_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from memnet_core.inference.channels import ColorMode
    from memnet_core.inference.engine import Engine
    from memnet_core.inference.noise_map import NoiseCurve
    from memnet_core.inference.plan import Prepared, RestorePlan
    from memnet_core.inference.scaling import Scaling
    from memnet_core.jpeg.chroma import SubsampledChroma
    from memnet_core.noise.network import NoiseNetwork
    from memnet_core.sources.protocols import PixelSource, Sink

__all__ = ["Preprocessing", "RowBuffer", "restore"]


class RowBuffer:
    """Rows that were read and wait for what the network makes of them."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._strips: deque[NDArray[Any]] = deque()

    def put(self, strip: NDArray[Any]) -> None:
        """Add the rows that follow."""
        self._strips.append(strip)

    def take(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows, and forget those before `bottom`."""
        found = []
        while self._strips and self._start < bottom:
            strip = self._strips.popleft()
            used = min(bottom - self._start, len(strip))
            found.append(strip[max(top - self._start, 0) : used])
            if used < len(strip):
                self._strips.appendleft(strip[used:])
            self._start += used
        return np.concatenate(found) if found else np.empty((0, 0, 1))


class _Noise:
    """The noise in a window of a plane, and its pixels, each read once."""

    def __init__(
        self,
        base: PixelSource,
        plane: int,
        rows: slice,
        columns: slice,
        seen: Callable[[NDArray[Any]], NDArray[np.float32]],
        network: NoiseNetwork | None,
        curve: NoiseCurve | None,
    ) -> None:
        height, width = base.shape[1:3]
        self.map = NoiseMap(
            lambda rows: seen(self._read(rows)),
            (height, width),
            columns,
            network,
            curve,
        )
        self._base, self._plane = base, plane
        self._start = self.map.seen_rows(rows).start
        left = self.map.seen.start
        self._inside = slice(columns.start - left, columns.stop - left)
        self._rows: list[NDArray[Any]] = []

    def pixels(self, rows: slice) -> NDArray[Any]:
        """Return rows of the window, and forget those that lie above what they need."""
        above = max(self.map.seen_rows(rows).start - self._start, 0)
        pixels = self._read(rows)[:, self._inside]
        self._rows = [self._rows[0][above:]]
        self._start += above
        return pixels

    def _read(self, rows: slice) -> NDArray[Any]:
        known = self._start + sum(map(len, self._rows))
        if rows.stop > known:
            more = slice(known, rows.stop)
            self._rows.append(self._base.read(self._plane, more, self.map.seen))
        if len(self._rows) > 1:
            self._rows = [np.concatenate(self._rows)]
        return self._rows[0][rows.start - self._start : rows.stop - self._start]


class Preprocessing:
    """Sources without hot pixels, averaged if that was decided; one for each channel.

    Parameters
    ----------
    source : Source
        What is restored.
    decision : RestorePlan
        How.
    """

    def __init__(self, source: PixelSource, decision: RestorePlan) -> None:
        self._source = source
        self._decision = decision
        self._made: dict[int, PixelSource] = {}

    def channel(self, number: int) -> PixelSource:
        """Return what to read the planes of a channel from."""
        if number not in self._made:
            self._made[number] = self._readied(number)
        return self._made[number]

    def _readied(self, number: int) -> PixelSource:
        channel = self._decision.channels[number]
        scaling, source = channel.scaling, self._source
        if not isinstance(scaling, AnscombeScaling):
            return source
        # The scaling is that of means.
        noise = channel.frames * scaling.gain, channel.frames * scaling.constant
        if self._decision.hot_pixels == "auto":
            source = HotPixelsRemoved(source, *noise)
        return TemporalAverage(source, *noise) if channel.frames > 1 else source


_NARROWEST = 16
"""Columns that are not divided any more where memory runs out."""

_REPEATED_ROWS = 256


def restore(
    source: PixelSource,
    sink: Sink,
    prepared: Prepared,
    region: PixelRegion | None = None,
) -> Generator[Progress | Notice, None, None]:
    """Restore a source, or a part of it; closing the generator cancels.

    A region comes out as that part of the whole result: the network sees all that its
    pixels depend on. Memory is that of a window: rows within the receptive field.
    Values that are NaN or infinite, and planes of one value, stay as they are.

    Parameters
    ----------
    source : Source
        Pixels of any bool, integer or float dtype.
    sink : Sink
        Takes the result, in the source's dtype and coordinates of the whole result.
    prepared : Prepared
        How, as decided for this source.
    region : Region, optional
        Part of the result; all of it by default.

    Yields
    ------
    Progress, Notice
        Progress after every strip of rows.

    Raises
    ------
    ImageError
        If pixels cannot be read or written, or the network's output is not finite.
    DeviceError
        If not even a narrow band of the image fits into memory.
    """
    wanted = region or PixelRegion.whole(prepared.result_shape(source.shape))
    done, total = 0, wanted.pixels
    blank, holes = 0, False
    cleaned = source
    for step in prepared.before:
        cleaned = _RestoredSource(cleaned, step)
    readied = Preprocessing(cleaned, prepared.decision)
    for plane in wanted.planes:
        job = _PlaneJob(prepared, cleaned, plane, readied, source)
        before = done
        events = job.run(sink, wanted.rows, wanted.columns)
        if prepared.decision.strength == 0:
            events = job.repeat(sink, wanted.rows, wanted.columns)
        elif job.is_blank(wanted.rows, wanted.columns):
            blank += 1
            events = job.repeat(sink, wanted.rows, wanted.columns)
        for event in events:
            if isinstance(event, Notice):
                yield event
            else:
                done = before + round(event)
                yield Progress(done, total)
        holes |= job.filled.found
    if blank:
        yield Notice(f"{blank} of {len(wanted.planes)} planes hold one value; kept.")
    if holes:
        yield Notice("Values that are NaN or infinite stay as they are.")


class ChangedRows(NamedTuple):
    """Rows of a window after the network.

    Attributes
    ----------
    rows, columns : slice
        Where they are in the plane.
    pixels : ndarray, shape (h, w, S)
        What was read.
    change : ndarray of float64, shape (P, C, h, w)
        What is to be added to the planes fed to the network.
    """

    rows: slice
    columns: slice
    pixels: NDArray[Any]
    change: NDArray[np.float64]


@dataclass(frozen=True)
class PlaneRunner:
    """Walks windows of a plane through the network.

    Attributes
    ----------
    base : Source
        What the network sees, at the size of the result.
    plane : int
        Number of the plane.
    scaling : Scaling
        What becomes 0 and 1.
    levels : tuple of float
        Values of the level planes.
    beyond : float
        How far values may leave [0, 1].
    mode : str
        Which planes of colors are restored.
    tta : bool
        Whether to average over flips and rotations.
    blocks : JpegConstraint, optional
        Blocks that have to come out whole.
    keeps_still : bool
        Whether areas of one value stay as they are, as those that no camera saw.
    curve : NoiseCurve, optional
        Deviation of the noise by brightness. With one, the level plane is the map of
        the noise, times `strength`.
    strength : float
        As in `memnet_core.inference.settings.RestoreOptions`.
    """

    base: PixelSource
    plane: int
    scaling: Scaling
    levels: tuple[float, ...]
    beyond: float
    mode: ColorMode
    tta: bool
    blocks: JpegConstraint | None = None
    keeps_still: bool = False
    curve: NoiseCurve | None = None
    strength: float = 1.0

    @property
    def images(self) -> int:
        """How many images of the plane the network sees at once."""
        return IMAGES.get(self.mode, 1) * self.scaling.images

    def window(self, engine: Engine, part: slice, axis: int) -> slice:
        """Return what the network sees along an axis to restore a part of it."""
        size = self.base.shape[1 + axis]
        whole = self._whole(part, axis)
        return input_window(whole, size, engine.radius, engine.multiple)

    def changes(
        self, engine: Engine, rows: slice, columns: slice
    ) -> Iterator[tuple[float, ChangedRows | None]]:
        """Yield how much of the work is done, and rows in order as they are known.

        With `blocks` they are whole blocks around what is wanted.
        """
        whole, beside = self._whole(rows, 0), self._whole(columns, 1)
        seen, across = self.window(engine, rows, 0), self.window(engine, columns, 1)
        inner = slice(beside.start - across.start, beside.stop - across.start)
        waiting, ready = RowBuffer(seen.start), RowBuffer(seen.start)
        length = seen.stop - seen.start
        passes = TURNS if self.tta else 1
        # Nothing is computed below the last row that is wanted, but for its context.
        effort = passes * (length if self.tta else whole.stop - seen.start)
        top, bottom, worked = whole.start, seen.start, 0
        noise = self._noise(engine, seen, across)
        for work, output in self._outputs(engine, seen, across, waiting, noise):
            worked += work
            fraction = min(worked / effort, 1.0)
            ready.put(np.moveaxis(output, 2, 0))
            bottom += output.shape[2]
            complete = slice(top, self._complete(bottom, whole))
            if complete.start < complete.stop:
                after = np.moveaxis(ready.take(top, complete.stop), 0, 2)[..., inner]
                pixels = waiting.take(top, complete.stop)[:, inner]
                planes = self._planes(pixels, engine)
                change = self.scaling.inverse_difference(planes, after, self.beyond)
                if noise:
                    change[..., noise.map.still(complete, beside)] = 0
                top = complete.stop
                yield fraction, ChangedRows(complete, beside, pixels, change)
            else:
                yield fraction, None
            if top >= whole.stop and not self.tta:
                break

    def _outputs(
        self,
        engine: Engine,
        rows: slice,
        columns: slice,
        waiting: RowBuffer,
        noise: _Noise | None,
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield rows of work, and rows that the network has restored."""
        step = engine.strip_rows(columns.stop - columns.start, self.images)
        strips = self._strips(engine, rows, columns, step, waiting, noise)
        length = rows.stop - rows.start
        levels = () if noise and noise.map.is_read else self.levels
        if self.tta:
            return average_over_dihedral(engine, strips, length, step, levels)
        outputs = engine.stream(strips, length, levels)
        return ((out.shape[2], out) for out in outputs)

    def _strips(
        self,
        engine: Engine,
        rows: slice,
        columns: slice,
        step: int,
        waiting: RowBuffer,
        noise: _Noise | None,
    ) -> Iterator[NDArray[np.float32]]:
        """Read a window strip by strip, as the network sees it."""
        for top in range(rows.start, rows.stop, step):
            strip = slice(top, min(top + step, rows.stop))
            if noise is None:
                pixels = self.base.read(self.plane, strip, columns)
            else:
                pixels = noise.pixels(strip)
            waiting.put(pixels)
            planes = self.scaling.forward(self._planes(pixels, engine), self.beyond)
            if noise and noise.map.is_read:
                sigma = np.float32(self.strength / 255) * noise.map.sigma(strip)
                planes = np.concatenate([planes, sigma], 1)
            yield planes

    def _noise(self, engine: Engine, rows: slice, columns: slice) -> _Noise | None:
        """Return what is known of the noise in a window."""
        if not self.keeps_still:
            return None
        is_read = self.curve is not None and engine.level_planes == 1
        planes = slice(None if self.mode == "joint" else 1)

        def seen(pixels: NDArray[Any]) -> NDArray[np.float32]:
            return self.scaling.forward(self._planes(pixels, engine)[:, planes])

        network = shipped_noise_network(str(engine.device)) if is_read else None
        return _Noise(self.base, self.plane, rows, columns, seen, network, self.curve)

    def _planes(self, pixels: NDArray[Any], engine: Engine) -> NDArray[np.float64]:
        """Return the planes fed to the network."""
        return select_input(pixels, self.mode, engine.image_channels)

    def _whole(self, part: slice, axis: int) -> slice:
        return self.blocks.aligned(part, axis) if self.blocks else part

    def _complete(self, bottom: int, rows: slice) -> int:
        """Return up to where rows can be finished if they are known to `bottom`."""
        if self.blocks is None or bottom >= rows.stop:
            return int(min(bottom, rows.stop))
        return self.blocks.complete(slice(rows.start, bottom))


def _spread_rounding(rows: slice, columns: slice) -> NDArray[np.float64]:
    """Return what to add before rounding so that sums of few counts are kept.

    It lies between -0.5 and 0.5, evenly within every small neighborhood (interleaved
    gradient noise, Jimenez 2014), and follows from the place alone, shape (h, w, 1).
    """
    y, x = np.mgrid[rows, columns]
    spread: NDArray[np.float64] = 52.9829189 * ((0.06711056 * x + 0.00583715 * y) % 1)
    # Short of a half, so that what the network leaves as it is stays a whole value.
    return 0.99 * (spread % 1 - 0.5)[..., None]


class _PlaneJob:
    """One plane of a source on its way into a sink."""

    def __init__(
        self,
        prepared: Prepared,
        source: PixelSource,
        plane: int,
        preprocessing: Preprocessing,
        original: PixelSource,
    ) -> None:
        decision, task = prepared.decision, prepared.task
        number = source.channel(plane)
        channel = decision.channels[number]
        self.prepared, self.source, self.plane = prepared, source, plane
        self.original = original
        self.ceiling, self.padding = channel.ceiling, channel.padding
        self.spreads_rounding = channel.spreads_rounding
        scaling = channel.scaling or plane_scaling(source, plane)
        self.gray = (scaling.low + scaling.high) / 2
        self.filled = NaNFilled(preprocessing.channel(number), self.gray)
        base: PixelSource = self.filled
        if prepared.scale > 1:
            base = BicubicUpsampled(self.filled, prepared.scale)
        self.jpeg = None
        if decision.coding:
            self.jpeg = JpegConstraint(
                self.filled,
                decision.coding,
                has_chroma=decision.colors not in ("single", "luminance"),
                projects=decision.consistency,
            )
        found = channel.level, decision.chroma_level or channel.level
        self.runner = PlaneRunner(
            base=base,
            plane=plane,
            scaling=scaling,
            levels=tuple(task.level_map_value(decision.applied(v)) for v in found),
            beyond=task.clip_margin(channel.level),
            mode=decision.colors,
            tta=decision.tta,
            blocks=self.jpeg,
            keeps_still=task.noisy,
            curve=channel.curve,
            strength=decision.strength,
        )

    def bands(self, columns: slice) -> list[slice]:
        """Divide columns as the memory of the device asks for, which steps share."""
        steps, scale = self.prepared.steps, self.prepared.scale
        images = self.runner.images * len(steps)
        room = min(
            (scale if step is not self.prepared else 1)
            * (step.engine.widest(images) - 2 * step.engine.radius)
            for step in steps
        )
        return split_columns(columns, max(room, _NARROWEST))

    def is_blank(self, rows: slice, columns: slice) -> bool:
        """Whether the plane holds one value only, judged by what is read first."""
        engine, runner = self.prepared.engine, self.runner
        first = self.bands(columns)[0]
        seen, across = runner.window(engine, rows, 0), runner.window(engine, first, 1)
        step = engine.strip_rows(across.stop - across.start, runner.images)
        strip = slice(seen.start, min(seen.start + step, seen.stop))
        scale = self.prepared.scale
        if scale > 1:
            strip, across = (
                slice(part.start // scale, -(-part.stop // scale))
                for part in (strip, across)
            )
        if self.source is self.original:
            pixels = self.filled.look_ahead(self.plane, strip, across)
        else:  # which a step before has not to be begun for
            pixels = self.original.read(self.plane, strip, across)
        return is_constant_plane(self.original, self.plane, pixels)

    def repeat(
        self, sink: Sink, rows: slice, columns: slice
    ) -> Iterator[float | Notice]:
        """Write a part of the plane without restoring it."""
        width = columns.stop - columns.start
        for top in range(rows.start, rows.stop, _REPEATED_ROWS):
            strip = slice(top, min(top + _REPEATED_ROWS, rows.stop))
            sink.write(self.plane, strip, columns, self._original(strip, columns))
            yield float((strip.stop - rows.start) * width)

    def _original(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the pixels of the input at places of the result."""
        scale = self.prepared.scale
        if scale == 1:
            return self.original.read(self.plane, rows, columns)
        down, across = (
            np.arange(part.start, part.stop) // scale for part in (rows, columns)
        )
        seen = slice(int(down[0]), int(down[-1]) + 1)
        beside = slice(int(across[0]), int(across[-1]) + 1)
        pixels = self.original.read(self.plane, seen, beside)
        repeated: NDArray[Any] = pixels[down - seen.start][:, across - beside.start]
        return repeated

    def run(self, sink: Sink, rows: slice, columns: slice) -> Iterator[float | Notice]:
        """Restore a part of the plane; yield how many pixels are done, and notices."""
        engine = self.prepared.engine
        finished = 0
        parts = deque((rows, band) for band in self.bands(columns))
        while parts:
            rows, columns = parts.popleft()
            width = columns.stop - columns.start
            first, problem = rows.start, ""
            try:
                for fraction, pixels in self._restored(engine, rows, columns):
                    if len(pixels):
                        written = slice(first, first + len(pixels))
                        sink.write(self.plane, written, columns, pixels)
                        first = written.stop
                    yield finished + fraction * width * (rows.stop - rows.start)
            except OutOfMemory:
                # What is to be done about it has to wait for the end of the handler,
                # which holds on to the memory.
                problem = "memory"
            except NotFinite:
                problem = "precision"
                if engine.precision == "float32":
                    raise
            finished += width * (first - rows.start)
            rest = slice(first, rows.stop)
            if problem == "precision":
                yield Notice(
                    f"A result was not finite in {engine.precision}; computed in "
                    "float32 from there on."
                )
                engine = engine.exact()
                parts.appendleft((rest, columns))
            elif problem:
                if width <= _NARROWEST:
                    raise DeviceError(
                        f"The memory of {engine.device} does not suffice for a band "
                        f"of {width} columns; close other programs or choose another "
                        "device."
                    )
                yield Notice(
                    f"The memory of {engine.device} does not suffice for "
                    f"{width} columns at once; going on in two bands."
                )
                halves = split_columns(columns, -(-width // 2))
                parts.extendleft((rest, half) for half in reversed(halves))

    def _restored(
        self, engine: Engine, rows: slice, columns: slice
    ) -> Iterator[tuple[float, NDArray[Any]]]:
        """Yield how much of the work is done, and restored rows in order."""
        samples: ChromaRowReader | None = None
        if self.jpeg and self.jpeg.chroma and self.runner.mode == "chroma":
            samples = self._samples(engine, self.jpeg.chroma, rows, columns)
        for fraction, changed in self.runner.changes(engine, rows, columns):
            if changed is None:
                yield fraction, np.empty((0, 0, 0), self.source.dtype)
                continue
            pixels = self._pixels(changed, samples)
            top, left = changed.rows.start, changed.columns.start
            kept = slice(max(rows.start - top, 0), rows.stop - top)
            yield (
                fraction,
                pixels[kept, columns.start - left : columns.stop - left],
            )

    def _samples(
        self, engine: Engine, chroma: SubsampledChroma, rows: slice, columns: slice
    ) -> ChromaRowReader:
        """Begin to restore the chroma of a part at its own resolution."""
        assert self.jpeg
        whole = self.jpeg.aligned(rows, 0), self.jpeg.aligned(columns, 1)
        cells = chroma.sample_window(*whole, 1)
        planes = self.source.shape[0]
        streams = [
            replace(
                self.runner,
                base=ChromaSource(chroma, planes, difference, self.gray),
                mode="single",
                blocks=None,
            ).changes(engine, *cells)
            for difference in range(2)
        ]
        return ChromaRowReader(streams, cells[0].start)

    def _pixels(
        self, changed: ChangedRows, samples: ChromaRowReader | None
    ) -> NDArray[Any]:
        """Return restored pixels in the result's dtype."""
        rows, columns, before, change = changed
        pixels = before.astype(np.float64)
        colors = without_alpha(pixels)
        restored = from_planes(colors, change, self.runner.mode)
        if self.jpeg:
            if samples and self.jpeg.chroma:
                cells = self.jpeg.chroma.sample_window(rows, columns, 1)
                moved = self.jpeg.chroma.upsample(samples.take(cells[0]), rows, columns)
                restored = add_chroma(restored, moved)
            restored = self.jpeg.project(self.plane, colors, restored, rows, columns)
        restored = self.runner.scaling.wrapped(restored)
        if self.ceiling is not None:
            restored = np.minimum(restored, np.maximum(colors, self.ceiling))
        if self.spreads_rounding:
            restored = restored + _spread_rounding(rows, columns)
        if self.padding is not None:
            restored = np.where(colors == self.padding, colors, restored)
        colors[...] = restored
        result = to_dtype(pixels, self.source.dtype)
        if self.filled.found:
            original = self._original(rows, columns)
            result = np.where(np.isfinite(original), result, original)
        return result


class _RestoredSource(SourceWrapper):
    """What a step makes of a source, computed row by row where the next step reads it.

    Its pixels are those that the step alone would write into a file.

    Parameters
    ----------
    source : PixelSource
        What the step restores.
    prepared : Prepared
        The step.
    """

    def __init__(self, source: PixelSource, prepared: Prepared) -> None:
        super().__init__(source)
        self.jpeg_tables, self.jpeg_coding = (), None
        self._prepared = prepared
        self._readied = Preprocessing(source, prepared.decision)
        self._at = -1, slice(0, 0)
        self._stream: Iterator[NDArray[Any]] = iter(())
        self._rows: NDArray[Any]
        self._top = 0

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window; rows above those of the window before begin anew."""
        if (plane, columns) != self._at or rows.start < self._top:
            self._at, self._top = (plane, columns), rows.start
            self._stream = self._restored(plane, rows.start, columns)
            self._rows = next(self._stream)
        parts = [self._rows]
        while self._top + sum(map(len, parts)) < rows.stop:
            parts.append(next(self._stream))
        self._rows = np.concatenate(parts)[rows.start - self._top :]
        self._top = rows.start
        return self._rows[: rows.stop - rows.start]

    def _restored(self, plane: int, top: int, columns: slice) -> Iterator[NDArray[Any]]:
        """Yield rows from one on, in order."""
        engine, height = self._prepared.engine, self.shape[1]
        job = _PlaneJob(
            self._prepared, self._source, plane, self._readied, self._source
        )
        while top < height:
            try:
                for _, pixels in job._restored(engine, slice(top, height), columns):
                    if len(pixels):
                        top += len(pixels)
                        yield pixels
            except NotFinite:
                if engine.precision == "float32":
                    raise
                engine = engine.exact()
