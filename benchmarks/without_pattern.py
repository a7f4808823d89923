"""Take the pattern on flat areas out of model files, as training does on export.

Usage: python benchmarks/without_pattern.py FILE ...

Files are replaced; their cards keep all but the checksum, and say so.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from memnet_core.model.checkpoint import load_model, save_model
from memnet_core.model.flat_field import flat_answers, remove_fixed_pattern
from memnet_core.tasks import find_task

_NOTE = "Its pattern on flat areas was taken out."


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    """Take the pattern out of model files."""
    for path in files:
        model, card = load_model(path)
        task = find_task(card.task)
        mended = remove_fixed_pattern(model, task, card.levels)
        kept = card.model_dump(exclude={"architecture", "sha256", "format"})
        if _NOTE not in card.description:
            kept["description"] = f"{card.description} {_NOTE}".strip()
        save_model(path, mended, **kept)
        before, after = (
            float(np.abs(flat_answers(m, task, card.levels)).max())
            for m in (model, mended)
        )
        click.echo(f"{path}: at most {before:.2f} of 255 before, {after:.2f} now")


if __name__ == "__main__":
    main()
