"""Makes the files beside it; works with version 0.1.0 (commit 2f547fe) only.

Run with that version installed, `napari` and all, from anywhere::

    OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen python make.py FOLDER

Everything is made in FOLDER, where the command runs; what later versions are to
read is copied from there by hand. Nothing is to be made anew with another version: the
files are of use because this one wrote them.

Paths that version 0.1 writes as absolute ones begin with ``/proc/self/cwd``, so that a
test can read the files as they are from a folder of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

HERE = "/proc/self/cwd"
SETTINGS = """\
phases: [{until: 1, patch: 16, batch: 2}]
recalibration_batches: 2
validations: 2
"""
TINY = "--memory-blocks 1 --recursions 1 --channels 4 --config short.yaml"
TRAIN = {
    "tiny": f"--task denoise --levels 5-50 --level-map --data clean --steps 20 {TINY}",
    "blocks": f"--task deblock --levels 5-95 --data clean --steps 20 {TINY}",
}
RUN = (
    f"train --task denoise --levels 5-50 --data {HERE}/clean --steps 20 --stop-at 12 "
    f"--level-map --name paused --out run {TINY}"
)
BATCHES = json.loads((Path(__file__).parent / "commands.json").read_text())
MOVIE_CHANGED = 1_700_000_000
"""Seconds since 1970: half a result knows its source by the time of its last change."""

KILLED_AFTER_TWO_SHARDS = """
import os, signal
from memnet_core.batch.shared import SharedResult
real = SharedResult.mark_done
def mark(self, level, index):
    real(self, level, index)
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
SharedResult.mark_done = mark
from memnet_core.cli import main
main()
"""

PLUGIN = """
import time
from pathlib import Path
from qtpy.QtWidgets import QApplication
application = QApplication([])
from napari.settings import get_plugin_settings
chosen = get_plugin_settings("napari-memnet").inference
chosen.device = "cpu"
chosen.folder = "/proc/self/cwd/large"
from napari_memnet.presets import save_preset
from napari_memnet.widgets.batch import BatchWidget
from napari_memnet.widgets.form import RestorationForm
def ready(form):
    while not form.is_ready:
        application.processEvents()
        time.sleep(0.01)
Path("presets").mkdir(exist_ok=True)
form = RestorationForm("restore", for_layers=True)
ready(form)
form.automatic.value = False
form.levels["denoise"].value = 12.5
form.model.value = "tiny"
form.strength.value = 0.8
form.range.value = "pair"
form.low.value, form.high.value = 5, 900
form.channels.value = "each"
form.noise.grain.value = "white"
save_preset(Path("presets/denoise-given.yaml"), form.kept)
form.restore_defaults()
form.noise.noise.value = "photons"
form.noise.grain.value = "correlated"
form.noise.hot_pixels.value = False
form.range.value = "dtype"
save_preset(Path("presets/denoise-photons.yaml"), form.kept)
form.close_down()
widget = BatchWidget()
ready(widget.form)
widget.form.task.value = "deblock"
widget.form.automatic.value = False
widget.form.levels["deblock"].value = 35
widget.form.channels.value = "luminance"
widget.format.value, widget.recursive.value = "tiff", True
save_preset(Path("presets/deblock-folder.yaml"), widget.form.kept)
widget.close()
"""


def main(folder: Path) -> None:
    """Make everything in an empty folder."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ |= {
        "MEMNET_MODELS": "models",
        "MEMNET_SETTINGS": "settings",
        "NAPARI_CONFIG": str(Path("settings", "napari", "settings.yaml").absolute()),
    }
    write_inputs()
    for name, options in TRAIN.items():
        memnet(f"train {options} --name {name} --out made/{name}")
        memnet(f"models add made/{name}/{name}.safetensors")
    memnet(RUN)
    for options in BATCHES.values():
        memnet(f"batch {options}")
    half()
    reached()
    subprocess.run([sys.executable, "-c", PLUGIN], check=True)


def write_inputs() -> None:
    """Write clean images to learn from, and degraded ones to restore."""
    rng = np.random.default_rng(0)
    Path("clean").mkdir()
    Path("in").mkdir()
    Path("short.yaml").write_text(SETTINGS)
    y, x = np.mgrid[:48, :56]
    for number in range(2):
        waves = 128 + 60 * np.sin(x / (4 + number)) + 50 * np.cos(y / 5)
        Image.fromarray(as_bytes(waves)).save(f"clean/{number}.png")
    waves = 128 + 60 * np.sin(x / 4) + 40 * np.cos(y / 5)
    color = np.stack([waves, waves[::-1], waves[:, ::-1]], 2)
    color += rng.normal(0, 20, color.shape)
    Image.fromarray(as_bytes(color[..., 0])).save("in/gray.png")
    Image.fromarray(as_bytes(color)).save("in/color.png")
    Image.fromarray(as_bytes(color)).save("in/photo.jpg", quality=20)
    clean = 40 + 30 * np.sin(x / 4) * np.cos(y / 5)
    stack = 100 + 20 * rng.poisson(np.stack([clean + n for n in range(4)]))
    tifffile.imwrite(
        "in/stack.ome.tif",
        stack.astype(np.uint16),
        photometric="minisblack",
        metadata={"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm"},
    )
    movie = np.stack([stack[:2], stack[2:], stack[1:3]])
    tifffile.imwrite(
        "in/movie.ome.tif",
        movie.astype(np.uint16),
        photometric="minisblack",
        metadata={"axes": "TZYX"},
    )
    os.utime("in/movie.ome.tif", (MOVIE_CHANGED, MOVIE_CHANGED))


def half() -> None:
    """Kill a run when two of the three shards of its result are written."""
    command = "--task denoise --sigma 20 --strength 0.8 --model tiny --format ome-zarr"
    source = f"{HERE}/in/movie.ome.tif"
    killed = [sys.executable, "-c", KILLED_AFTER_TWO_SHARDS, "batch", *command.split()]
    assert subprocess.run([*killed, source, "half"], check=False).returncode < 0
    # In an archive, as git keeps no empty folders.
    with tarfile.open("half.tar.gz", "w:gz") as archive:
        archive.add("half")
    memnet(f"batch {command} {source} whole")
    whole = zarr.open_array("whole/movie.ome.zarr/0", mode="r")[...]
    np.savez_compressed("whole.npz", pixels=whole)


def reached() -> None:
    """Note what the paused run adds to its log when it is resumed."""
    shutil.copytree("run", "resumed")
    memnet("train --resume --out resumed")
    shutil.copy("resumed/log.csv", "run/reached.csv")


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Return values as bytes, those beyond cut off."""
    result: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return result


def memnet(arguments: str) -> None:
    """Run the command."""
    command = [sys.executable, "-m", "memnet_core", *arguments.split()]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
