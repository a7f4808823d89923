"""The one loop: parts of a result, memory, what happens when resources run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.errors import DeviceError, ImageError, NotFinite, OutOfMemory
from memnet_core.inference.runner import restore
from memnet_core.progress import Notice, Progress
from memnet_core.sources.protocols import ArraySink, ArraySource
from memnet_core.sources.regions import PixelRegion
from memnet_core.sources.wrappers import BicubicUpsampled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from memnet_core.inference.plan import Prepared

    Prepare = Callable[..., Prepared]


def whole(stack: NDArray[Any], prepared: Prepared) -> NDArray[Any]:
    source = ArraySource(stack)
    result = np.zeros(prepared.result_shape(stack.shape), stack.dtype)
    for _ in restore(source, ArraySink(result), prepared):
        pass
    return result


def part(stack: NDArray[Any], prepared: Prepared, region: PixelRegion) -> NDArray[Any]:
    result = np.full(prepared.result_shape(stack.shape), 77, stack.dtype)
    for _ in restore(ArraySource(stack), ArraySink(result), prepared, region):
        pass
    return result


def noise(*shape: int, dtype: str = "float32") -> NDArray[Any]:
    rng = np.random.default_rng(5)
    if dtype.startswith("float"):
        return rng.random(shape).astype(dtype)
    return rng.integers(0, 200, shape).astype(dtype)


REGIONS = [
    (slice(0, 9), slice(0, 11)),
    (slice(31, 42), slice(37, 53)),
    (slice(60, 71), slice(61, 75)),
    (slice(17, 18), slice(0, 75)),
]


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("unshuffle", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), REGIONS)
def test_region_is_that_part_of_the_whole(
    prepared_with: Prepare, unshuffle: int, rows: slice, columns: slice, tta: bool
) -> None:
    prepared = prepared_with(unshuffle=unshuffle, tta=tta)
    stack = noise(2, 71, 75, 1)
    expected = whole(stack, prepared)
    assert np.abs(expected - stack).max() > 0.01
    found = part(stack, prepared, PixelRegion([1], rows, columns))
    np.testing.assert_allclose(
        found[1, rows, columns], expected[1, rows, columns], rtol=0, atol=1e-6
    )
    assert np.all(found[0] == 77)


@pytest.mark.parametrize("unshuffle", [1, 2, 3])
def test_region_of_an_enlarged_image_is_that_part_of_the_whole(
    prepared_with: Prepare, unshuffle: int
) -> None:
    prepared = prepared_with(task="sr", level=3, unshuffle=unshuffle)
    stack = noise(1, 30, 29, 1)
    expected = whole(stack, prepared)
    assert expected.shape == (1, 90, 87, 1)
    rows, columns = slice(41, 52), slice(3, 40)
    found = part(stack, prepared, PixelRegion([0], rows, columns))
    np.testing.assert_allclose(
        found[0, rows, columns], expected[0, rows, columns], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("colors", "image_channels"),
    [("luminance", 1), ("each", 1), ("joint", 3), ("luminance", 3)],
)
def test_colors_of_a_region_are_those_of_the_whole(
    prepared_with: Prepare, colors: str, image_channels: int
) -> None:
    prepared = prepared_with(unshuffle=2, colors=colors, image_channels=image_channels)
    stack = noise(1, 41, 43, 4)
    expected = whole(stack, prepared)
    assert np.array_equal(expected[..., 3], stack[..., 3])
    rows, columns = slice(11, 30), slice(20, 43)
    found = part(stack, prepared, PixelRegion([0], rows, columns))
    np.testing.assert_allclose(
        found[0, rows, columns], expected[0, rows, columns], rtol=0, atol=1e-6
    )


class FakeEngine:
    """An engine that adds something to each row, at once or when told to fail."""

    device = "cpu"
    radius = 3
    multiple = 1
    image_channels = 1
    precision = "float32"

    def __init__(self, change: float = 0.0, most_columns: int = 10**6) -> None:
        self.change = change
        self.most_columns = most_columns
        self.widths: list[int] = []

    def widest(self, images: int = 1) -> int:
        return 10**6

    def strip_rows(self, width: int, images: int = 1) -> int:
        return 8

    def exact(self) -> FakeEngine:
        return FakeEngine(self.change)

    def stream(
        self,
        strips: Iterable[NDArray[np.float32]],
        height: int,
        level: float | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        for number, strip in enumerate(strips):
            self.widths.append(strip.shape[-1])
            if number == 2 and strip.shape[-1] > self.most_columns:
                raise OutOfMemory("no memory")
            yield strip + np.float32(self.change)


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("samples", [1, 3, 4])
def test_what_the_network_leaves_alone_comes_back_exactly(
    prepared_with: Prepare, dtype: str, samples: int
) -> None:
    colors = "luminance" if samples > 1 else "single"
    prepared = prepared_with(engine=FakeEngine(), high=3.7, colors=colors)
    stack = noise(2, 21, 13, samples, dtype=dtype)
    assert np.array_equal(whole(stack, prepared), stack)


def test_change_comes_back_in_the_unit_of_the_pixels(prepared_with: Prepare) -> None:
    prepared = prepared_with(engine=FakeEngine(0.25), low=100, high=300)
    stack = noise(1, 20, 9, 1, dtype="uint16")
    assert np.array_equal(whole(stack, prepared), stack + 50)


def test_progress_rises_to_all_pixels(
    prepared_with: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Strips as low as they become, so that there are several of a small plane.
    monkeypatch.setattr("memnet_core.inference.engine._CPU_MAP", 0)
    prepared = prepared_with(unshuffle=2)
    stack = noise(3, 80, 20, 1)
    events = [*restore(ArraySource(stack), ArraySink(stack.copy()), prepared)]
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == sorted(done)
    assert len(done) > 6
    assert events[-1] == Progress(stack.size, stack.size)


@pytest.mark.parametrize("tta", [False, True])
def test_progress_of_a_region_ends_at_its_pixels(
    prepared_with: Prepare, tta: bool
) -> None:
    prepared = prepared_with(tta=tta)
    stack = noise(2, 80, 20, 1)
    region = PixelRegion([0, 1], slice(30, 40), slice(3, 9))
    sink = ArraySink(stack.copy())
    *_, last = restore(ArraySource(stack), sink, prepared, region)
    assert last == Progress(120, 120)


def test_progress_of_a_region_counts_no_rows_that_are_not_computed(
    prepared_with: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.inference.engine._CPU_MAP", 1)
    region = PixelRegion([0], slice(3, 10), slice(0, 20))
    source = ArraySource(noise(1, 60, 20, 1))
    sink = ArraySink(source.stack.copy())
    events = restore(source, sink, prepared_with(), region)
    fractions = [e.fraction for e in events if isinstance(e, Progress)]
    assert len(fractions) > 3
    assert fractions[-1] == 1


def test_image_too_wide_for_memory_is_done_in_bands(prepared_with: Prepare) -> None:
    engine = FakeEngine(0.5, most_columns=40)
    prepared = prepared_with(engine=engine)
    stack = noise(1, 64, 100, 1)
    result = np.zeros_like(stack)
    events = [*restore(ArraySource(stack), ArraySink(result), prepared)]
    assert np.array_equal(result, stack + np.float32(0.5))
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any("two bands" in text for text in notices)
    assert max(engine.widths[-3:]) <= 40
    assert events[-1] == Progress(stack.size, stack.size)


def test_memory_that_suffices_for_nothing_is_an_error(prepared_with: Prepare) -> None:
    prepared = prepared_with(engine=FakeEngine(most_columns=1))
    stack = noise(1, 64, 100, 1)
    with pytest.raises(DeviceError, match="does not suffice for a band"):
        whole(stack, prepared)


def test_overflow_of_a_lesser_precision_is_done_again_in_float32(
    prepared_with: Prepare,
) -> None:
    class Overflowing(FakeEngine):
        precision = "float16"

        def stream(self, strips: Any, height: int, level: float | None = None) -> Any:
            for number, strip in enumerate(strips):
                if number == 3:
                    raise NotFinite("too large")
                yield strip + np.float32(0.5)

    stack = noise(1, 64, 20, 1)
    result = np.zeros_like(stack)
    prepared = prepared_with(engine=Overflowing(0.5))
    events = [*restore(ArraySource(stack), ArraySink(result), prepared)]
    assert np.array_equal(result, stack + np.float32(0.5))
    assert [e for e in events if isinstance(e, Notice)] == [
        Notice("A result was not finite in float16; computed in float32 from there on.")
    ]


def test_result_that_is_not_finite_in_float32_is_an_error(
    prepared_with: Prepare,
) -> None:
    class Broken(FakeEngine):
        def stream(self, strips: Any, height: int, level: float | None = None) -> Any:
            raise NotFinite("The output is not finite; give a range.")

    with pytest.raises(ImageError, match="not finite"):
        whole(noise(1, 9, 9, 1), prepared_with(engine=Broken()))


def test_closing_ends_at_once_and_reads_no_more(prepared_with: Prepare) -> None:
    class Counting(ArraySource):
        reads = 0

        def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
            self.reads += 1
            return super().read(plane, rows, columns)

    source = Counting(noise(1, 400, 20, 1))
    sink = ArraySink(np.zeros((1, 400, 20, 1), np.float32))
    work = restore(source, sink, prepared_with(engine=FakeEngine()))
    next(work)
    before = source.reads
    work.close()
    assert source.reads == before <= 2


def test_rows_are_read_once_and_in_order(prepared_with: Prepare) -> None:
    read: list[tuple[int, int]] = []

    class Noting(ArraySource):
        def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
            read.append((rows.start, rows.stop))
            return super().read(plane, rows, columns)

    source = Noting(noise(1, 100, 20, 1))
    sink = ArraySink(np.zeros((1, 100, 20, 1), np.float32))
    for _ in restore(source, sink, prepared_with(engine=FakeEngine())):
        pass
    stops = [stop for _, stop in read]
    assert [start for start, _ in read] == [0, *stops[:-1]]
    assert stops[-1] == 100


def test_memory_is_that_of_a_window_whatever_the_height(prepared_with: Prepare) -> None:
    import tracemalloc

    class Endless:
        """Planes that are made when they are read, so that they take no memory."""

        channels = 1
        jpeg_tables = ()
        jpeg_coding = None
        missing_planes: frozenset[int] = frozenset()
        dtype = np.dtype("uint16")

        def __init__(self, height: int) -> None:
            self.shape = (1, height, 512, 1)

        def channel(self, plane: int) -> int:
            return 0

        def neighbors(self, plane: int) -> list[int]:
            return []

        def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
            sides = (rows.stop - rows.start, columns.stop - columns.start, 1)
            return np.arange(np.prod(sides), dtype=np.uint16).reshape(sides)

    class Nowhere:
        def write(
            self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
        ) -> None:
            assert pixels.dtype == np.uint16

    def peak(height: int) -> int:
        tracemalloc.start()
        for _ in restore(Endless(height), Nowhere(), prepared):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    prepared = prepared_with(engine=FakeEngine())
    peak(64)
    assert peak(4096) < 1.2 * peak(256)


def test_enlarged_window_is_that_part_of_the_enlarged_image() -> None:
    source = BicubicUpsampled(ArraySource(noise(1, 12, 17, 3)), 4)
    rows, columns = slice(0, 48), slice(0, 68)
    everything = source.read(0, rows, columns)
    window = source.read(0, slice(13, 29), slice(5, 68))
    assert np.array_equal(window, everything[13:29, 5:68])
