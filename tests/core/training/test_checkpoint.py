"""Damaged and hostile files of runs are one sentence each, and never other weights."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from memnet_core.errors import TrainingError
from memnet_core.training.checkpoint import read_state, write_state
from memnet_core.training.events import TrainingProgress
from memnet_core.training.logs import RunLog, read_log
from memnet_core.training.loop import STATE_FILE, Trainer
from memnet_core.training.recipes import (
    config_from,
    config_of_run,
    read_settings,
    write_config,
)
from memnet_core.training.runner import train_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

CPU = torch.device("cpu")

Make = "Callable[..., TrainingConfig]"


@pytest.fixture
def run(make_config: Callable[..., TrainingConfig]) -> TrainingConfig:
    """A run that was paused after three steps."""
    config = make_config(report_every=1e-6)
    for _ in train_session(Trainer(config, "cpu"), stop_at=3):
        pass
    return config


def sentence_of(config: TrainingConfig) -> str:
    with pytest.raises(TrainingError) as caught:
        Trainer(config, "cpu")
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert str(config.out) in text
    return text


def test_no_changed_bit_of_a_state_goes_unseen(run: TrainingConfig) -> None:
    path = run.out / STATE_FILE
    whole = path.read_bytes()
    read_state(path, CPU)
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match="or damaged"):
            read_state(path, CPU)
    for length in (0, 1, 15, 80, 81, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(TrainingError, match="or damaged"):
            read_state(path, CPU)
    path.write_bytes(whole)
    assert Trainer(run, "cpu").step == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", None),
        ("step", -1),
        ("step", 10**30),
        ("step", "3"),
        ("seconds", float("nan")),
        ("config", "{"),
        ("config", "[]"),
        ("config", '{"recipe": []}'),
        ("images", {"train": "other"}),
        ("images", {"unknown": "other"}),
        ("images", []),
        ("model", {}),
        ("model", {"ends": torch.zeros(3)}),
        ("average", {"n_averaged": "no"}),
        ("optimizer", {}),
        ("optimizer", {"state": {}, "param_groups": []}),
        ("optimizer", {"state": [], "param_groups": [{"params": 3}]}),
        ("curve", [{}]),
        ("curve", "none"),
        ("threads", 0),
        ("extra", 1),
        ("validations", True),
    ],
)
def test_state_that_holds_something_else_is_one_sentence(
    run: TrainingConfig, key: str, value: Any
) -> None:
    path = run.out / STATE_FILE
    write_state(path, {**read_state(path, CPU), key: value})
    sentence_of(run)


def test_state_is_no_pipe(run: TrainingConfig) -> None:
    path = run.out / STATE_FILE
    path.unlink()
    os.mkfifo(path)
    assert "no regular file" in sentence_of(run)


def test_lines_of_a_log_that_are_cut_or_damaged_are_left_out(
    run: TrainingConfig,
) -> None:
    path = run.out / "log.csv"
    whole = read_log(run.out)
    assert whole
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert read_log(run.out) == whole[: len(read_log(run.out))]
    damaged = (b"x,1,loss,2", b"1,2", b"\xff\0,", b"9" * 5000 + b",1,a,2", b"")
    path.write_bytes(content + b"\n".join(damaged))
    assert read_log(run.out) == whole
    with path.open("ab") as file:
        file.write(b'"' + b"a" * csv.field_size_limit() + b"a\n")
    assert read_log(run.out) == whole
    with RunLog(run.out, 3):
        assert read_log(run.out) == whole


def test_tensorboard_reads_the_curves(run: TrainingConfig) -> None:
    from tensorboardX.proto.event_pb2 import Event

    (file,) = (run.out / "tensorboard").iterdir()
    content, found = file.read_bytes(), []
    while content:
        length = int.from_bytes(content[:8], "little")
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    values = [(e.step, v.tag, v.simple_value) for e in found for v in e.summary.value]
    rows = [(s, q.replace(" ", "_"), v) for s, _, q, v in read_log(run.out)]
    assert [v[:2] for v in values] == [row[:2] for row in rows]
    assert [v[2] for v in values] == pytest.approx([row[2] for row in rows], rel=1e-6)


def test_a_run_without_tensorboard_keeps_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    event = TrainingProgress(
        step=3,
        minutes=0.5,
        minutes_left=1,
        fraction=0.3,
        loss=0.25,
        learning_rate=0.1,
        patches_per_second=8,
        pixels_per_second=64,
    )
    with RunLog(tmp_path, 0) as log:
        log.add(event)
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    assert (3, 0.5, "loss/training", 0.25) in read_log(tmp_path)


FULL = """
import resource, signal, sys
from pathlib import Path
from memnet_core.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 100, 1000, 10_000, 30_000, 60_000])
def test_full_disk_is_one_sentence_and_the_state_stays(
    run: TrainingConfig, room: int
) -> None:
    write_config(run)
    before = (run.out / STATE_FILE).read_bytes()
    room = min(room, len(before) - 1)  # a state that fits is saved, as it should be
    command = ["train", "--resume", "--out", str(run.out), "--device", "cpu"]
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(room), *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "fault of memnet" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("Error: Cannot ")
    assert (run.out / STATE_FILE).read_bytes() == before


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n"
    for n in range(24)
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB.encode(),
        b"a: &a [*a]\n",
        b"<<: {seed: 1}\n<<: 3\n",
        b"steps: " + b"9" * 5000,
        b"steps: 0x" + b"f" * 5000,
        b"steps: !!int many\n",
        b"steps: !!python/object/apply:os.getcwd []\n",
        b"steps: !!bool perhaps\n",
        b"steps: !!timestamp 2024-99-99\n",
        b'name: "\\ud800"\n',
        b'name: "\\UFFFFFFFF"\n',
        b'name: "a\\0b"\n',
        b"name: \x00\n",
        b"\xff\xfe\n",
        b"[" * 100_000,
        b"? [a]\n: b\n",
        b"? {a: b}\n: c\n",
        b"a: b: c\n",
        b"%YAML 9.9\n---\n",
        b"--- a\n--- b\n",
        b"3: 4\n",
        b"out: 3\n",
        b"",
        b"# " + b"x" * 2**20,
        b"levels: " + b"9" * 400,
        b"levels: 5-" + b"9" * 400,
    ],
)
def test_hostile_settings_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        config_from({"data": [tmp_path], "out": "run", "steps": 3}, read_settings(path))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_settings_are_no_pipe(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    os.mkfifo(path)
    with pytest.raises(TrainingError, match="regular file"):
        read_settings(path)


def test_dates_and_the_like_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: 2024-99-99\nlicense: =\nsteps: 7\nlearning_rate: 1.0e-3\n")
    assert read_settings(path) == {
        "name": "2024-99-99",
        "license": "=",
        "steps": 7,
        "learning_rate": 0.001,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", ""),
        ("seed", None),
        ("seed", []),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 10**4000),
        ("phases", [{"until": 1, "patch": 10**9, "batch": 1}]),
        ("phases", [{"until": 1, "patch": 16, "batch": 10**9}]),
        ("recipe", []),
        ("task", {}),
        ("architecture", "large"),
        ("levels", {"values": [float("inf")], "continuous": False}),
        ("steps", 10**4000),
    ],
)
def test_settings_out_of_all_bounds_are_one_sentence(
    make_config: Callable[..., TrainingConfig], name: str, value: object
) -> None:
    with pytest.raises(TrainingError, match=r"^[^\n]{1,500}\.$"):
        make_config(**{name: value})


def test_largest_seed_trains(make_config: Callable[..., TrainingConfig]) -> None:
    for _ in train_session(Trainer(make_config(seed=2**63 - 1, steps=1), "cpu")):
        pass


def test_folder_whose_name_is_not_utf8_is_found_again(
    make_config: Callable[..., TrainingConfig], clean_images: Path
) -> None:
    folder = clean_images.rename(clean_images.with_name(os.fsdecode(b"clean\xff")))
    config = make_config(data=[folder])
    write_config(config)
    assert config_of_run(config.out) == config
