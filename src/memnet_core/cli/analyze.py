"""``memnet analyze``: the paper's figures on its networks, for any model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import escape_control_chars, join_limited
from memnet_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from memnet_core.model.card import Card
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Task

__all__ = ["analyze"]

_OUT = click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Where pictures (PNG, SVG), tables (CSV) and words (TXT) go.",
)
_MODELS = click.argument("models", metavar="MODEL...", nargs=-1, required=True)
_DEVICE = click.option("--device", default="auto", show_default=True)
_SMALLEST, _MOST_SHOWN = 32, 1024
"""Pixels along a side that residuals are looked at with."""

_SEED = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Determines the noise.",
)


@click.group(short_help="Draw the paper's figures for any model.")
def analyze() -> None:
    """Draw what the paper shows of its networks, for any MODEL (a name or file).

    gates is its Fig. 5, spectra Fig. 4, predictions Fig. 6. residual looks at what was
    removed from an image.
    """


@analyze.command()
@_MODELS
@_OUT
def gates(*, models: tuple[str, ...], out: Path) -> None:
    """Draw how much each memory contributes to the gate units of each MODEL (Fig. 5).

    The norm of the weights by feature map, the means by kind of memory, and whether
    the paper's three observations hold; models of two tasks can be compared.
    """
    from memnet_core.paper.figures import bars_csv, draw_gates, gates_csv
    from memnet_core.paper.gate_norms import gate_norms, observations

    loaded = _load(models)
    norms = {name: gate_norms(model) for name, (model, _) in loaded.items()}
    tasks = {name: card.task for name, (_, card) in loaded.items()}
    titles = {f"{n} ({card.serves})": norms[n] for n, (_, card) in loaded.items()}
    tables = {"gates.csv": gates_csv(norms), "gates-bars.csv": bars_csv(norms)}
    words = [str(each) for each in observations(norms, tasks)]
    _write(out, "gates", draw_gates(titles), tables, words)


@analyze.command()
@_MODELS
@click.option(
    "--image",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="A clean image.",
)
@click.option("--level", type=float, required=True, help="How to degrade it.")
@click.option(
    "--predictions",
    "names",
    metavar="y4,y6",
    default="",
    help="Which predictions.  [default: at two thirds of the blocks, and the last]",
)
@click.option(
    "--crop",
    nargs=3,
    type=int,
    metavar="TOP LEFT SIDE",
    help="What to show, in pixels.  [default: 96 in the middle]",
)
@_DEVICE
@_SEED
@_OUT
def spectra(
    *,
    models: tuple[str, ...],
    image: Path,
    level: float,
    names: str,
    crop: tuple[int, int, int] | None,
    device: str,
    seed: int,
    out: Path,
) -> None:
    """Draw what predictions of each MODEL look like, and their spectra (Fig. 4).

    Crops, spectral densities by concentric circles, and their differences between
    predictions and between networks, such as with and without long-term memories.
    """
    from memnet_core.paper.figures import draw_spectra, spectra_csv
    from memnet_core.paper.predictions import compare

    loaded = _load(models, level)
    task = _task(loaded)
    comparison = compare(
        {name: model for name, (model, _) in loaded.items()},
        task.name,
        _plane(image, task),
        level,
        names=[name.strip() for name in names.split(",") if name.strip()],
        crop=crop,
        device=device,
        seed=seed,
    )
    figure = draw_spectra(comparison)
    tables = {"spectra.csv": spectra_csv(comparison)}
    pictures = [
        *(("", each) for each in comparison.common),
        *((name, each) for name, row in comparison.rows.items() for each in row),
    ]
    words = [f"{name} {each.title}".strip() for name, each in pictures]
    _write(out, "spectra", figure, tables, [*words, *comparison.words()])


@analyze.command()
@_MODELS
@click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Clean images.",
)
@click.option("--level", type=float, required=True, help="How to degrade them.")
@_DEVICE
@_SEED
@_OUT
def predictions(
    *,
    models: tuple[str, ...],
    data: Path,
    level: float,
    device: str,
    seed: int,
    out: Path,
) -> None:
    """Draw PSNR against cost of every prediction of each MODEL (Fig. 6).

    Cost is weights, multiply-adds, and seconds for an image of 288×288 pixels, as they
    are measured here; another load of the machine gives other seconds.
    """
    from memnet_core.paper.figures import draw_predictions, predictions_csv
    from memnet_core.paper.predictions import published_psnr, score_predictions

    loaded = _load(models, level)
    task = _task(loaded)
    _make(out)
    found = {
        name: list(
            score_predictions(model, card, data, level, device=device, seed=seed)
        )
        for name, (model, card) in loaded.items()
    }
    words = [
        f"{name} {p.name}: {p.psnr:.2f} dB (input {p.input_psnr:.2f}), SSIM "
        f"{p.ssim:.4f}, {p.weights / 1e3:.0f} K weights, "
        f"{p.multiply_adds / 1e3:.0f} K multiply-adds a pixel, {p.seconds:.3f} s"
        for name, row in found.items()
        for p in row
    ]
    systems = published_psnr(task, data, level)
    for name, row in found.items() if systems else ():
        for p in row:
            below = [
                f"{s} ({psnr:.2f})" for s, psnr in systems.items() if psnr < p.psnr
            ]
            words.append(f"{name} {p.name} is above {join_limited(below) or 'none'}")
    figure = draw_predictions(found, f"{data.name}, {task.label(level)}", systems)
    tables = {"predictions.csv": predictions_csv(found)}
    _write(out, "predictions", figure, tables, words)


@analyze.command()
@click.argument("before", metavar="SOURCE", type=click.Path(path_type=Path))
@click.argument("after", metavar="RESULT", type=click.Path(path_type=Path))
@click.option("--plane", type=click.IntRange(0), help="Which one.  [default: middle]")
@_OUT
def residual(*, before: Path, after: Path, plane: int | None, out: Path) -> None:
    """Draw what was removed from SOURCE to give RESULT, and say whether it is noise.

    It should be as strong as noise, white (neighbors do not correlate), and show no
    structure of the image. Of a large plane the middle 1024×1024 pixels are looked at.
    """
    from memnet_core.batch.residuals import paired_planes
    from memnet_core.evaluation.residual_noise import residual_of
    from memnet_core.io import open_image
    from memnet_core.paper.figures import draw_residuals

    with open_image(before) as source, open_image(after) as result:
        count = source.shape[0]
        number = count // 2 if plane is None else plane
        if number >= count:
            raise UsageError(f"{before} has no plane {number}, only 0 to {count - 1}.")
        planes = paired_planes(source, result, number)
    middle = tuple(_middle(length) for length in planes[0].shape[:2])
    first, last = (pixels[middle][..., 0] for pixels in planes)
    if min(first.shape) < _SMALLEST:
        raise UsageError(f"{before} is too small to tell anything of its noise.")
    found = residual_of(first, last)
    title = f"{before.name}, plane {number}" if count > 1 else before.name
    _write(out, "residual", draw_residuals({title: found}), {}, found.words())


def _middle(length: int) -> slice:
    start = max(0, length - _MOST_SHOWN) // 2
    return slice(start, start + _MOST_SHOWN)


def _load(
    names: Sequence[str], level: float | None = None
) -> dict[str, tuple[MemNet, Card]]:
    """Load models, which have to be of one task and serve a level, if there is one."""
    from memnet_core.model.checkpoint import load_model
    from memnet_core.model.registry import choose_model, find_model

    loaded: dict[str, tuple[MemNet, Card]] = {}
    for name in dict.fromkeys(names):
        entry = find_model(name)
        if level is not None:
            first = next(iter(loaded.values()))[1] if loaded else entry.card
            entry = choose_model(first.task, level, name)
        model, card = load_model(entry.path)
        known = loaded.keys() | {""}
        title = card.name if card.name not in known else str(entry.path)
        loaded[title] = model, card
    return loaded


def _task(loaded: dict[str, tuple[MemNet, Card]]) -> Task:
    from memnet_core.tasks import find_task

    return find_task(next(iter(loaded.values()))[1].task)


def _plane(file: Path, task: Task) -> NDArray[Any]:
    """Return the first plane of a file, as the protocol degrades it."""
    from memnet_core.io import open_image
    from memnet_core.training.data.clean_images import clean_planes

    with open_image(file) as source:
        return next(iter(clean_planes(source, task.full_range)))


def _write(
    out: Path,
    name: str,
    figure: Figure,
    tables: dict[str, str],
    words: Sequence[str],
) -> None:
    """Write what was found, and print the words."""
    from memnet_core._util.atomic_write import replaced_when_complete
    from memnet_core.paper.figures import save

    _make(out)
    lines = [escape_control_chars(line) for line in words]
    texts = {**tables, f"{name}.txt": "\n".join(lines) + "\n"}

    def write() -> None:
        save(figure, out / name)
        for file, text in texts.items():
            with replaced_when_complete(out / file) as temporary:
                temporary.write_text(text, encoding="utf-8")

    _told(out, write)
    for line in lines:
        click.echo(line)
    files = ", ".join([f"{name}.png", f"{name}.svg", *texts])
    click.echo(f"Written to {escape_control_chars(out)}: {files}.")


def _make(out: Path) -> None:
    """Make the folder for results, before anything is computed for long."""
    _told(out, lambda: out.mkdir(parents=True, exist_ok=True))


def _told(out: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written to: {error.strerror}; name another folder."
        ) from error
