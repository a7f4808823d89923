"""What adapting to noisy frames gains, on simulated cameras with the truth known.

    python benchmarks/adaptation.py --out docs

writes adaptation.png, the picture of the run on a movie, and prints a table as
Markdown. The movie is of lysosomes (../shared/data/micro), six of its
frames averaged, so that it moves on as the real one does and has little noise; other
scenes are those of benchmarks/microscopy.py, and stay. PSNR is over the range of the
truth, of three frames that were held out, or of the single one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tifffile
from microscopy import CAMERAS, SHARED, blurred, psnr, scenes, spread

from memnet_core import adapt, restore
from memnet_core.adaptation.result import draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Stack = NDArray[np.float64]

_FRAMES = 12
_AVERAGED = 6
_BLUR = 0.8
_SHOWN = "lysosomes, moving"


class Case(NamedTuple):
    """Photo-electrons at the peak, whether neighbors share noise, and how to adapt."""

    scene: str
    electrons: float
    is_blurred: bool = False
    model: str | None = None
    objective: Any = "noise2noise"


CASES = [
    Case(_SHOWN, 20),
    Case("cells", 30, is_blurred=True),
    Case("cells", 30, is_blurred=True, model="denoise"),
    Case("cells", 30),
    Case("photograph", 30),
    Case("cells", 30, objective="noise2void"),
    Case("photograph", 30, objective="noise2void"),
]


def truth(scene: str, frames: int) -> Stack:
    """Return clean frames in [0, 1]."""
    if scene != _SHOWN:
        return np.repeat(scenes()[scene][None], frames, 0)
    movie = tifffile.imread(SHARED / "micro/lysosome/5.tif").astype(np.float64)
    last = range(_AVERAGED, _AVERAGED + frames)
    return spread(np.stack([movie[n - _AVERAGED : n].mean(0) for n in last]))


def taken(case: Case, rng: np.random.Generator) -> tuple[Stack, Stack]:
    """Return noisy frames, and the truth in the same values."""
    camera = CAMERAS["sCMOS"]
    frames = 1 if case.objective != "noise2noise" else _FRAMES
    electrons = case.electrons * truth(case.scene, frames)
    values = np.stack([camera.photograph(frame, rng) for frame in electrons])
    clean = camera.black + camera.gain * electrons
    if not case.is_blurred:
        return values, clean
    both = [[blurred(f, _BLUR) for f in part] for part in (values, clean)]
    return np.stack(both[0]), np.stack(both[1])


def mean_psnr(values: Stack, clean: Stack, model: str | None) -> float:
    """Return the PSNR of the last frames, restored if there is a model."""
    frames, known = values[-3:], clean[-3:]
    if model:
        frames = restore(frames, "denoise", axes="TYX", nearest=True, model=model)
    return float(np.mean([psnr(a, b) for a, b in zip(frames, known, strict=True)]))


def measured(case: Case, steps: int, out: Path) -> dict[str, str]:
    """Adapt, and return a row of the table."""
    values, clean = taken(case, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        adapted = adapt(
            values,
            axes="TYX",
            objective=case.objective,
            model=case.model,
            steps=steps,
            out=Path(folder, "adapted.safetensors"),
            device="cpu",
        )
        models = [None, adapted.base, str(adapted.path) if adapted.path else None]
        noisy, before = (mean_psnr(values, clean, model) for model in models[:2])
        after = mean_psnr(values, clean, models[2]) if models[2] else before
    if case.scene == _SHOWN:
        draw(adapted, out / "adaptation.png")
    noise = "shared by neighbors" if case.is_blurred else "white"
    drop = adapted.loss_drop
    return {
        "scene": case.scene,
        "noise": f"{case.electrons:g} e⁻, {noise}",
        "objective": case.objective,
        "from": adapted.base,
        "held-out loss": f"{drop.before:.4f} → {drop.after:.4f}",
        "noisy, dB": f"{noisy:.2f}",
        "before, dB": f"{before:.2f}",
        "after, dB": f"{after:.2f}" if adapted.path else "not written",
        "gain, dB": f"{after - before:+.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=100)
    chosen = parser.parse_args()
    for number, case in enumerate(CASES):
        row = measured(case, chosen.steps, chosen.out)
        if not number:
            print(f"| {' | '.join(row)} |\n|{'---|' * len(row)}")
        print(f"| {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
