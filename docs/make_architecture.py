"""Draw architecture.svg, the picture of docs/architecture.md: run without arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 980, 600
INK, PALE, ACCENT = "#1f2937", "#f3f4f6", "#dbeafe"
DEST = Path(__file__).with_name("architecture.svg")


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and a line that explains it."""

    x: int
    y: int
    width: int
    height: int
    title: str
    text: tuple[str, ...] = ()
    fill: str = PALE

    @property
    def middle(self) -> int:
        """Column of its center."""
        return self.x + self.width // 2

    @property
    def bottom(self) -> int:
        """Row of its lower side."""
        return self.y + self.height

    def svg(self) -> str:
        """Return it as elements of an SVG."""
        lines = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" '
            f'height="{self.height}" rx="8" fill="{self.fill}" stroke="{INK}"/>',
            text(self.middle, self.y + 24, self.title, "title"),
        ]
        lines += [
            text(self.middle, self.y + 46 + 18 * n, line, "small")
            for n, line in enumerate(self.text)
        ]
        return "\n".join(lines)


def text(x: int, y: int, what: str, style: str) -> str:
    return f'<text x="{x}" y="{y}" class="{style}">{escape(what)}</text>'


def arrow(*points: tuple[int, int], label: str = "") -> str:
    """Return a line through points with a head at its end, and what it carries.

    Heads are polygons of their own: not every viewer turns markers.
    """
    (x0, y0), (x1, y1) = points[-2:]
    length = abs(x1 - x0) + abs(y1 - y0)
    along, up = (x1 - x0) // length, (y1 - y0) // length
    back = (x1 - 10 * along, y1 - 10 * up)
    head = [
        (x1, y1),
        (back[0] - 4 * up, back[1] + 4 * along),
        (back[0] + 4 * up, back[1] - 4 * along),
    ]
    drawn = [
        f'<polyline points="{listed([*points[:-1], back])}" fill="none" '
        f'stroke="{INK}" stroke-width="1.6"/>',
        f'<polygon points="{listed(head)}" fill="{INK}"/>',
    ]
    if label:
        drawn.append(text((x0 + x1) // 2, (y0 + y1) // 2 - 7, label, "label"))
    return "\n".join(drawn)


def listed(points: list[tuple[int, int]]) -> str:
    """Return points as SVG wants them."""
    return " ".join(f"{x},{y}" for x, y in points)


ENTRIES = [
    Box(20, 20, 215, 66, "memnet", ("cli/",), ACCENT),
    Box(260, 20, 215, 66, "memnet_core.restore()", ("inference/api.py",), ACCENT),
    Box(500, 20, 215, 66, "napari widgets", ("napari_memnet/",), ACCENT),
]
BATCH = Box(20, 120, 215, 84, "batch/", ("jobs, steps, shards;", "here or on Dask"))
SOURCE = Box(
    20,
    300,
    180,
    106,
    "PixelSource",
    ("read(plane, rows, columns)", "file, shard, layer, array;", "wrappers add steps"),
)
PREPARE = Box(
    260,
    150,
    455,
    84,
    "prepare()  —  inference/engine.py",
    (
        "once per input: range, noise or quality, colors, model",
        "returns a RestorePlan (JSON) and an Engine",
    ),
)
LOOP = Box(
    260,
    300,
    455,
    106,
    "restore()  —  inference/runner.py, the one loop",
    (
        "reads a window, scales it to planes in [0, 1]",
        "adds the network's change in the unit of the pixels",
        "yields Progress and Notice after every strip",
    ),
)
SINK = Box(
    775,
    300,
    185,
    106,
    "Sink",
    ("write(plane, rows,", "columns, pixels)", "file, shard, layer, array"),
)
TASKS = Box(
    775,
    120,
    185,
    84,
    "tasks/, noise/, jpeg/",
    ("levels, degradation,", "estimates, bounds"),
)
ENGINE = Box(
    260,
    470,
    215,
    106,
    "Engine",
    ("inference/engine.py", "strips of rows stream", "through model/streaming.py"),
)
MODEL = Box(
    500,
    470,
    215,
    106,
    "model/",
    ("a .safetensors file with", "its card: architecture, task,", "levels, hash"),
)
TRAINING = Box(
    775,
    470,
    185,
    106,
    "training/",
    ("writes such files;", "evaluation/ scores them", "by the paper's protocol"),
)


def picture() -> str:
    """Return the SVG."""
    boxes = [
        *ENTRIES,
        BATCH,
        SOURCE,
        PREPARE,
        LOOP,
        SINK,
        TASKS,
        ENGINE,
        MODEL,
        TRAINING,
    ]
    memnet, python, plugin = ENTRIES
    arrows = [
        arrow((memnet.middle, memnet.bottom), (memnet.middle, BATCH.y)),
        arrow((BATCH.x + BATCH.width, 180), (PREPARE.x, 180)),
        arrow((python.middle, python.bottom), (python.middle, PREPARE.y)),
        arrow((plugin.middle, plugin.bottom), (plugin.middle, PREPARE.y)),
        arrow((TASKS.x, 180), (PREPARE.x + PREPARE.width, 180)),
        arrow(
            (SOURCE.middle, SOURCE.y),
            (SOURCE.middle, 222),
            (PREPARE.x, 222),
            label="a sample",
        ),
        arrow((PREPARE.middle, PREPARE.bottom), (PREPARE.middle, LOOP.y)),
        arrow((200, 353), (LOOP.x, 353), label="pixels"),
        arrow((715, 353), (SINK.x, 353), label="pixels"),
        arrow((330, LOOP.bottom), (330, ENGINE.y)),
        arrow((400, ENGINE.y), (400, LOOP.bottom)),
        arrow((MODEL.x, 523), (ENGINE.x + ENGINE.width, 523)),
        arrow((TRAINING.x, 523), (MODEL.x + MODEL.width, 523)),
    ]
    labels = [
        text(322, 442, "strips", "label end"),
        text(408, 442, "rows", "label start"),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="Helvetica, Arial, sans-serif">',
            "<title>The flow of pixels through napari-memnet</title>",
            f"<style>text {{ fill: {INK}; text-anchor: middle; }} "
            ".title { font-size: 15px; font-weight: bold; } "
            ".small { font-size: 13px; } "
            ".label { font-size: 12px; font-style: italic; } "
            ".end { text-anchor: end; } .start { text-anchor: start; }</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *(box.svg() for box in boxes),
            *arrows,
            *labels,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    DEST.write_text(picture())
