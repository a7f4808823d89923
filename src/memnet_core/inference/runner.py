"""The one loop: windows of a source through the network into a sink."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import DeviceError, NotFinite, OutOfMemory
from memnet_core.image_ops.color import without_alpha
from memnet_core.image_ops.dtype import to_dtype
from memnet_core.inference.channels import add_chroma, from_planes, select_input
from memnet_core.inference.jpeg import ChromaRowReader, ChromaSource
from memnet_core.inference.plan import plane_scaling
from memnet_core.inference.scaling import AnscombeScaling
from memnet_core.inference.tta import TURNS, average_over_dihedral
from memnet_core.jpeg.chroma import SubsampledChroma
from memnet_core.jpeg.coding import BLOCK
from memnet_core.jpeg.dct_bounds import project_colors_to_bounds
from memnet_core.progress import Notice, Progress
from memnet_core.sources.frame_average import TemporalAverage
from memnet_core.sources.hot_pixels import HotPixelsRemoved
from memnet_core.sources.regions import PixelRegion, input_window, split_columns
from memnet_core.sources.wrappers import BicubicUpsampled, NaNFilled, is_constant_plane

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from memnet_core.inference.engine import Engine
    from memnet_core.inference.plan import Prepared, RestorePlan
    from memnet_core.inference.scaling import Scaling
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
    readied = Preprocessing(source, prepared.decision)
    for plane in wanted.planes:
        channel = prepared.decision.channels[source.channel(plane)]
        job = _Plane(
            prepared=prepared,
            source=source,
            plane=plane,
            level=channel.level,
            scaling=channel.scaling or plane_scaling(source, plane),
            readied=readied.channel(source.channel(plane)),
        )
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


@dataclass
class _Plane:
    """One plane on its way through the network."""

    prepared: Prepared
    source: PixelSource
    plane: int
    level: float
    scaling: Scaling
    readied: PixelSource | None = None

    def __post_init__(self) -> None:
        middle = (self.scaling.low + self.scaling.high) / 2
        self.filled = NaNFilled(self.readied or self.source, middle)
        scale = self.prepared.scale
        self.base: PixelSource = (
            BicubicUpsampled(self.filled, scale) if scale > 1 else self.filled
        )
        self.dtype = self.source.dtype
        self.chroma: SubsampledChroma | None = None
        decision = self.prepared.decision
        coding = decision.coding
        is_carried = decision.colors in ("single", "luminance")
        if coding and coding.has_chroma and not is_carried:
            self.chroma = SubsampledChroma(self.filled, coding)
        task = self.prepared.task
        self.beyond, self.level_map_value = (
            task.clip_margin(self.level),
            task.level_map_value(decision.applied(self.level)),
        )

    def is_blank(self, rows: slice, columns: slice) -> bool:
        """Whether the plane holds one value only, judged by what is read first."""
        engine = self.prepared.engine
        first = self._bands(columns)[0]
        seen, across = self._window(engine, rows, 0), self._window(engine, first, 1)
        step = engine.strip_rows(across.stop - across.start, self._images)
        strip = slice(seen.start, min(seen.start + step, seen.stop))
        scale = self.prepared.scale
        if scale > 1:
            strip, across = (
                slice(part.start // scale, -(-part.stop // scale))
                for part in (strip, across)
            )
        pixels = self.filled.look_ahead(self.plane, strip, across)
        return is_constant_plane(self.source, self.plane, pixels)

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
        """Return the source's pixels at places of the result."""
        scale = self.prepared.scale
        if scale == 1:
            return self.source.read(self.plane, rows, columns)
        down, across = (
            np.arange(part.start, part.stop) // scale for part in (rows, columns)
        )
        seen = slice(int(down[0]), int(down[-1]) + 1)
        beside = slice(int(across[0]), int(across[-1]) + 1)
        pixels = self.source.read(self.plane, seen, beside)
        repeated: NDArray[Any] = pixels[down - seen.start][:, across - beside.start]
        return repeated

    def run(self, sink: Sink, rows: slice, columns: slice) -> Iterator[float | Notice]:
        """Restore a part of the plane; yield how many pixels are done, and notices."""
        engine = self.prepared.engine
        finished = 0
        parts = deque((rows, band) for band in self._bands(columns))
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

    @property
    def _images(self) -> int:
        """How many images of the plane the network sees at once.

        Both planes of chroma are half of one, or less.
        """
        return {"each": 3, "chroma": 2}.get(self.prepared.decision.colors, 1)

    def _restored(
        self, engine: Engine, rows: slice, columns: slice
    ) -> Iterator[tuple[float, NDArray[Any]]]:
        """Yield restored rows in order, and how much of the work is done."""
        whole, beside = self._aligned(rows, 0), self._aligned(columns, 1)
        seen, across = self._window(engine, rows, 0), self._window(engine, columns, 1)
        inner = slice(beside.start - across.start, beside.stop - across.start)
        waiting, ready = RowBuffer(seen.start), RowBuffer(seen.start)
        step = engine.strip_rows(across.stop - across.start, self._images)
        strips = self._strips(engine, seen, across, step, waiting)
        length = seen.stop - seen.start
        passes = TURNS if self.prepared.decision.tta else 1
        # Nothing is computed below the last row that is wanted, but for its context.
        effort = passes * (length if passes > 1 else whole.stop - seen.start)
        outputs = (
            average_over_dihedral(engine, strips, length, step, self.level_map_value)
            if passes > 1
            else (
                (len(out[0, 0]), out)
                for out in engine.stream(strips, length, self.level_map_value)
            )
        )
        samples = self._samples(engine, whole, beside)
        top, bottom, worked = whole.start, seen.start, 0
        for work, output in outputs:
            worked += work
            fraction = min(worked / effort, 1.0)
            ready.put(np.moveaxis(output, 2, 0))
            bottom += output.shape[2]
            complete = slice(top, self._complete(bottom, whole))
            if complete.start < complete.stop:
                restored = np.moveaxis(ready.take(top, complete.stop), 0, 2)
                pixels = self._pixels(
                    waiting.take(top, complete.stop)[:, inner],
                    restored[..., inner],
                    complete,
                    beside,
                    samples,
                )
                top = complete.stop
                kept = slice(
                    max(rows.start - complete.start, 0), rows.stop - complete.start
                )
                first = columns.start - beside.start
                pixels = pixels[kept, first : first + columns.stop - columns.start]
                yield fraction, pixels
            else:
                yield fraction, np.empty((0, 0, 0), self.dtype)
            if top >= whole.stop and passes == 1:
                break

    def _bands(self, columns: slice) -> list[slice]:
        """Divide columns as the memory of the device asks for."""
        engine = self.prepared.engine
        room = engine.widest(self._images) - 2 * engine.radius
        return split_columns(columns, max(room, _NARROWEST))

    def _window(self, engine: Engine, part: slice, axis: int) -> slice:
        """Return what the network sees along an axis to restore a part of it."""
        size = self.base.shape[1 + axis]
        whole = self._aligned(part, axis)
        return input_window(whole, size, engine.radius, engine.multiple)

    def _aligned(self, part: slice, axis: int) -> slice:
        """Return a part of an axis, extended to whole blocks of a JPEG."""
        coding = self.prepared.decision.coding
        if coding is None:
            return part
        return coding.aligned(part, self.base.shape[1 + axis], axis, self._cell(axis))

    def _cell(self, axis: int) -> int:
        """Return how many pixels a sample of the blocks has that are restored."""
        coding = self.prepared.decision.coding
        return coding.cell(axis) if coding and self.chroma else 1

    def _complete(self, bottom: int, rows: slice) -> int:
        """Return up to where the blocks of some rows end above `bottom`."""
        coding = self.prepared.decision.coding
        if coding is None or bottom >= rows.stop:
            return int(min(bottom, rows.stop))
        cell = self._cell(0)
        done = slice(rows.start, bottom)
        lacking = coding.missing(done, self.base.shape[1], 0, cell)[1]
        return bottom - (BLOCK * cell - lacking if lacking else 0)

    def _samples(
        self, engine: Engine, rows: slice, columns: slice
    ) -> ChromaRowReader | None:
        """Begin to restore the chroma of a part at its own resolution."""
        if self.chroma is None or self.prepared.decision.colors != "chroma":
            return None
        gray = (self.scaling.low + self.scaling.high) / 2
        cells = self.chroma.sample_window(rows, columns, 1)
        alone = {"colors": "single", "coding": None}
        decision = self.prepared.decision.model_copy(update=alone)
        streams = []
        for difference in range(2):
            planes = ChromaSource(self.chroma, self.source.shape[0], difference, gray)
            job = replace(
                self,
                prepared=replace(self.prepared, decision=decision),
                source=planes,
                readied=None,
            )
            streams.append(pixels for _, pixels in job._restored(engine, *cells))
        return ChromaRowReader(streams, cells[0].start, gray)

    def _strips(
        self,
        engine: Engine,
        rows: slice,
        columns: slice,
        step: int,
        waiting: RowBuffer,
    ) -> Iterator[NDArray[np.float32]]:
        """Read a window strip by strip, as the network sees it."""
        for top in range(rows.start, rows.stop, step):
            strip = slice(top, min(top + step, rows.stop))
            pixels = self.base.read(self.plane, strip, columns)
            waiting.put(pixels)
            planes = self._planes(pixels, engine)
            yield self.scaling.forward(planes, self.beyond)

    def _planes(self, pixels: NDArray[Any], engine: Engine) -> NDArray[np.float64]:
        """Return the values of which the network sees something."""
        mode = self.prepared.decision.colors
        return select_input(pixels, mode, engine.image_channels)

    def _pixels(
        self,
        before: NDArray[Any],
        restored: NDArray[np.float32],
        rows: slice,
        columns: slice,
        samples: ChromaRowReader | None,
    ) -> NDArray[Any]:
        """Return pixels of which the network made `restored`, in the result's dtype."""
        values = self._planes(before, self.prepared.engine)
        change = self.scaling.inverse_difference(values, restored, self.beyond)
        pixels = before.astype(np.float64)
        colors = without_alpha(pixels)
        mode, coding = self.prepared.decision.colors, self.prepared.decision.coding
        changed = from_planes(colors, change, mode)
        if samples and self.chroma:
            cells = self.chroma.sample_window(rows, columns, 1)
            moved = samples.take(cells[0]) - self.chroma.read(self.plane, *cells)
            moved = self.chroma.upsample(moved, rows, columns)
            changed = add_chroma(changed, moved)
        if coding and self.prepared.decision.consistency:
            height, width = self.base.shape[1:3]
            missing = coding.missing(rows, height, 0), coding.missing(columns, width, 1)
            changed = project_colors_to_bounds(colors, changed, coding, missing)
            if self.chroma:
                changed = self.chroma.project_to_bounds(
                    self.plane, changed, rows, columns
                )
        colors[...] = changed
        result = to_dtype(pixels, self.dtype)
        if self.filled.found:
            original = self._original(rows, columns)
            result = np.where(np.isfinite(original), result, original)
        return result
