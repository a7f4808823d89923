from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.batch import InputListing, find_inputs, restoring
from memnet_core.inference import runner
from memnet_core.inference.api import restore
from memnet_core.io import open_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]

DEBLOCK = ["batch", "--task", "deblock", "--q", 10]


def names(folder: str) -> list[str]:
    found = [path for path in Path(folder).rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def lines(result: Result) -> list[str]:
    """Return what was said, with durations and rates left out."""
    return re.sub(r"[\d.]+ (s\b|Mpx/s)", r"N \1", result.stderr).splitlines()


def test_folder_is_restored_and_each_file_has_a_line(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.jpg", 100, 100, quality=10)
    picture("in/b.png", 100, 100)
    result = memnet(*DEBLOCK, "in", "out")
    assert lines(result) == [
        "Model low (deblock q 5-20) on cpu",
        "[1/2] in/a.jpg -> out/a.png  0.01 Mpx in N s",
        "[2/2] in/b.png -> out/b.png  0.01 Mpx in N s",
        "2 restored in N s (N Mpx/s).",
    ]
    assert (result.exit_code, result.stdout) == (0, "")
    assert names("out") == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("options", "task", "settings"),
    [
        ("--q 10", "deblock", {"level": 10}),
        ("--q 10 --channels each", "deblock", {"level": 10, "channels": "each"}),
        ("--q 10 --range 10,200", "deblock", {"level": 10, "value_range": (10, 200)}),
        ("--sigma 10", "denoise", {"level": 10}),
        (
            "--sigma 10 --channels luminance",
            "denoise",
            {"level": 10, "channels": "luminance"},
        ),
        ("--scale 2", "sr", {"level": 2}),
        ("--sigma 10 --strength 0.5", "denoise", {"level": 10, "strength": 0.5}),
        ("--q 10 --tta", "deblock", {"level": 10, "tta": True}),
        ("--q 10 --exit-block 1", "deblock", {"level": 10, "exit_block": 1}),
        (
            "--q 10 --precision bfloat16",
            "deblock",
            {"level": 10, "precision": "bfloat16"},
        ),
    ],
)
def test_options_do_what_they_name(
    memnet: Command,
    install: Install,
    picture: Picture,
    options: str,
    task: str,
    settings: dict[str, Any],
) -> None:
    install("model", 2, 16, task=task, level_map="strength" in settings)
    source = picture("a.png")
    result = memnet(
        *("batch", "--task", task, *options.split(), "--device", "cpu", source, "out")
    )
    assert result.exit_code == 0, result.stderr
    expected = restore(source, task, **settings).pixels
    with open_image(Path("out/a.png")) as file:
        found = file.image().pixels
    assert np.array_equal(found, expected)
    if len(settings) > 1:
        plain = restore(source, task, settings["level"]).pixels
        assert not np.array_equal(found, plain)


@pytest.mark.parametrize("value_range", ["auto", "percentile"])
def test_range_beyond_8_bits_is_found_by_percentiles(
    memnet: Command, install: Install, value_range: str
) -> None:
    install("model", 2, 20, task="denoise")
    values = np.random.default_rng(0).integers(1000, 9000, (14, 18))
    tifffile.imwrite("a.tif", values.astype(np.uint16))
    options = ["--task", "denoise", "--sigma", 10]
    for folder, choice in (("plain", []), ("chosen", ["--range", value_range])):
        assert memnet("batch", *options, *choice, "a.tif", folder).exit_code == 0
    plain, chosen = (tifffile.imread(Path(f, "a.tif")) for f in ("plain", "chosen"))
    assert np.array_equal(plain, chosen)
    memnet("batch", *options, "--range", "dtype", "a.tif", "whole")
    assert not np.array_equal(tifffile.imread("whole/a.tif"), plain)


def test_input_that_needs_nothing_is_skipped_and_no_failure(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.jpg", quality=10)
    picture("in/b.jpg", quality=95)
    result = memnet(*DEBLOCK[:3], "in", "out", "--report", "report.json")
    assert result.exit_code == 0
    assert lines(result)[-2:] == [
        "[2/2] skipped in/b.jpg: needs none: q 95 is milder than q 20, the mildest "
        "that is served (--nearest applies it all the same)",
        "1 restored, 1 skipped in N s (N Mpx/s).",
    ]
    assert names("out") == ["a.png"]
    report = json.loads(Path("report.json").read_text())
    assert report["counts"] == {"done": 1, "skipped": 1}
    assert memnet(*DEBLOCK[:3], "--nearest", "in", "out").exit_code == 0
    assert names("out") == ["a.png", "b.png"]


def test_model_can_be_a_name_or_a_file(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    file = install("high", 80, 90)
    source = picture("a.png")
    for model in ("high", file):
        refused = memnet(*DEBLOCK, "--model", model, source, "out")
        assert (refused.exit_code, names("out")) == (2, [])
        assert (
            "'high' covers q 80-90, not 10. Accept it with --nearest." in refused.stderr
        )
    accepted = memnet(*DEBLOCK, "--model", "high", "--nearest", source, "out")
    assert (accepted.exit_code, names("out")) == (0, ["a.png"])


def test_remarks_are_on_the_line_of_the_file(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    palette = PillowImage.open(picture("a.png")).quantize(16)
    palette.save("a.png")
    picture("b.jpg", quality=12)
    said = lines(
        memnet(
            "batch",
            "--task",
            "deblock",
            "--nearest",
            "--q",
            10,
            "a.png",
            "b.jpg",
            "out",
        )
    )
    assert said[1].endswith("; not kept: palette (expanded)")
    said = lines(memnet("batch", "--task", "deblock", "b.jpg", "auto"))
    assert "in N s; q 12 by its quantization table; chroma restored" in said[1]


def test_second_run_skips_what_exists_and_overwrite_redoes_it(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    memnet(*DEBLOCK, "in", "out")
    picture("in/b.png")
    before = Path("out/a.png").stat().st_mtime_ns

    second = memnet(*DEBLOCK, "in", "out")
    assert "[1/2] skipped in/a.png: out/a.png exists" in lines(second)
    assert lines(second)[-1].startswith("1 restored, 1 skipped in")
    assert Path("out/a.png").stat().st_mtime_ns == before

    third = memnet(*DEBLOCK, "in", "out", "--overwrite")
    assert lines(third)[-1].startswith("2 restored in")
    assert Path("out/a.png").stat().st_mtime_ns > before


def test_result_that_is_out_of_date_is_named_and_update_redoes_it(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    memnet(*DEBLOCK, "in", "out")
    why = "out/a.png exists, but is out of date: it was made for another level (q 10)"
    other = (*DEBLOCK[:-1], "15")

    dry = memnet(*other, "in", "out", "--dry-run")
    assert (
        "but is out of date: it was made for another level (q 10), skip" in dry.stdout
    )
    said = memnet(*other, "in", "out")
    assert lines(said) == [
        f"[1/1] skipped in/a.png: {why}",
        "1 skipped, 1 of these out of date; --update redoes what is out of date.",
    ]
    assert said.exit_code == 0

    redone = memnet(*other, "in", "out", "--update")
    assert "redone: it was made for another level (q 10)" in lines(redone)[1]
    assert lines(memnet(*other, "in", "out", "--update"))[-1] == "1 skipped."
    assert memnet(*other, "in", "out", "--update", "--overwrite").exit_code == 2


def test_dry_run_says_what_would_be_done_and_writes_nothing(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.jpg", 9, 11, 3)
    picture("in/b.png", 5, 6)
    picture("out/b.png")
    Path("in/c.png").touch()
    Path("in/.d.png").touch()
    before = names(".")
    result = memnet(*DEBLOCK, "in", "out", "--dry-run", "--report", "report.json")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "in/a.jpg -> out/a.png  9×11×3 uint8          q 10    -         0.0 s  "
        "deblock q 10 by low",
        "in/b.png -> out/b.png  (exists, skipped)",
        "in/c.png -> out/c.png  (cannot be read)",
    ]
    assert result.stderr == "passed over: 1 hidden\n"
    assert names(".") == before


def test_dry_run_and_info_say_which_files_would_fail_or_be_skipped(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.jpg", quality=10)
    picture("in/fine.jpg", quality=95)
    dry = memnet("batch", "--task", "deblock", "in", "out", "--dry-run").stdout
    rows = memnet("info", "in", "--task", "deblock").stdout
    for said in (dry.splitlines(), rows.splitlines()):
        assert [line.split("  ")[-1].strip()[:21] for line in said] == [
            "deblock q 10 by low",
            "skipped: needs none: ",
        ]
    assert [line.split()[0] for line in rows.splitlines()] == ["a.jpg", "fine.jpg"]
    levels = memnet("info", "in").stdout.splitlines()
    assert "q 10" in levels[0]
    assert "q 95" in levels[1]


def test_quiet_prints_failures_and_the_summary(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    Path("in/b.png").touch()
    said = lines(memnet(*DEBLOCK, "--quiet", "in", "out"))
    assert len(said) == 2
    assert said[0].endswith("FAILED in/b.png cannot be read: the file is empty.")
    assert said[1].startswith("1 restored, 1 failed")


def test_formats_go_by_the_names_that_people_type(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    assert memnet(*DEBLOCK, "--format", "tif", "in", "out").exit_code == 0
    assert names("out") == ["a.tif"]


def test_output_that_is_missing_is_named(memnet: Command) -> None:
    result = memnet(*DEBLOCK, "in")
    assert result.exit_code == 2
    assert "Missing argument 'OUTPUT'." in result.stderr


def test_help_shows_daily_options_and_the_rest_on_request(memnet: Command) -> None:
    daily, whole = (memnet("batch", name).stdout for name in ("--help", "--help-all"))
    assert "--sigma" in daily
    assert "--scheduler" not in daily
    assert "Many machines:" in whole
    assert "--scheduler" in whole


def test_report_is_written(memnet: Command, install: Install, picture: Picture) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    Path("in/b.png").touch()
    result = memnet(*DEBLOCK, "in", "out", "--report", "report.json")
    assert result.exit_code == 1
    report = json.loads(Path("report.json").read_text())
    assert report["counts"] == {"done": 1, "failed": 1}
    assert report["settings"]["level"] == 10
    assert (
        report["files"][1]["message"] == "in/b.png cannot be read: the file is empty."
    )


@pytest.mark.parametrize(
    ("options", "advice"), [([], "go on"), (["--overwrite"], "start over")]
)
def test_interrupt_is_reported_and_says_how_to_go_on(
    memnet: Command,
    install: Install,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    advice: str,
) -> None:
    install("low", 5, 20)
    for name in "abc":
        picture(f"in/{name}.png")
    calls = iter("ab")

    working = runner.restore

    def second_is_interrupted(*arguments: Any) -> Any:
        if next(calls) == "b":
            raise KeyboardInterrupt
        return working(*arguments)

    monkeypatch.setattr(restoring, "restore", second_is_interrupted)
    result = memnet(*DEBLOCK, "in", "out", "--report", "report.json", *options)
    assert result.exit_code == 130
    assert lines(result)[-2:] == [
        "1 restored, 2 not done in N s (N Mpx/s).",
        "Interrupted; nothing is half-written. "
        f"Run the same command again to {advice}.",
    ]
    assert names("out") == ["a.png"]
    report = json.loads(Path("report.json").read_text())
    assert report["counts"] == {"done": 1, "pending": 2}


def test_tree_is_mirrored_and_the_rest_is_counted(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    for name in ("a.png", "deep/er/b.jpg", "out/c.png", ".d.png"):
        picture(f"in/{name}")
    Path("in/notes.md").touch()
    result = memnet(*DEBLOCK, "-r", "in", "in/out")
    assert result.exit_code == 0
    assert lines(result)[0] == "passed over: 1 hidden, 1 of other kinds"
    assert names("in/out") == ["a.png", "c.png", "deep/er/b.png"]


def test_folder_that_cannot_be_read_is_a_failure(
    memnet: Command,
    install: Install,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    real = find_inputs

    def find(*arguments: Any, **options: Any) -> InputListing:
        found = real(*arguments, **options)
        found.unreadable.append("in/locked cannot be read: Permission denied.")
        return found

    monkeypatch.setattr("memnet_core.batch.find_inputs", find)
    result = memnet(*DEBLOCK, "in", "out")
    assert lines(result)[0] == "FAILED in/locked cannot be read: Permission denied."
    assert (result.exit_code, names("out")) == (1, ["a.png"])
