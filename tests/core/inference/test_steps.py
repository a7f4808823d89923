"""What an image needs, step by step, and that the steps run as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from memnet_core import restore as restore_image
from memnet_core.errors import NothingToDo, UsageError
from memnet_core.inference.engine import prepare
from memnet_core.inference.plan import RestorePlan
from memnet_core.inference.provenance import provenance
from memnet_core.inference.runner import restore
from memnet_core.inference.settings import RestoreOptions, options_from
from memnet_core.inference.steps import plan_chain, plan_steps
from memnet_core.io import Image, in_memory, open_image
from memnet_core.sources.protocols import ArraySink, SourceWrapper
from memnet_core.sources.regions import PixelRegion

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource

AUTO = RestoreOptions(task="auto")
TWICE = RestoreOptions(task="sr", level=2)


def smooth(height: int = 96, width: int = 96) -> NDArray[Any]:
    y, x = np.mgrid[:height, :width]
    return np.asarray(120 + 60 * np.sin(x / 9) * np.cos(y / 11))


def noisy(sigma: float, height: int = 96, width: int = 96) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, sigma, (height, width))
    return (smooth(height, width) + noise).clip(0, 255).round().astype(np.uint8)


def array(pixels: NDArray[Any]) -> Any:
    return in_memory(Path("image"), Image(pixels, "YX"))


@pytest.fixture
def jpeg(tmp_path: Path) -> Callable[..., Path]:
    def jpeg(pixels: NDArray[np.uint8], quality: int) -> Path:
        path = tmp_path / "a.jpg"
        PillowImage.fromarray(pixels).save(path, quality=quality)
        return path

    return jpeg


def done(source: PixelSource, settings: RestoreOptions) -> list[str]:
    return [step.task for step in plan_steps(source, settings) if step.plan]


@pytest.mark.parametrize(
    ("sigma", "quality", "needed"),
    [
        (0, 40, ["deblock"]),
        (0, 97, []),
        (12, 40, ["deblock", "denoise"]),
        (12, 98, ["denoise"]),
        (12, None, ["denoise"]),
        (0, None, []),
        (1, None, []),
    ],
)
def test_an_image_gets_what_it_needs_and_blocks_go_first(
    jpeg: Callable[..., Path], sigma: float, quality: int | None, needed: list[str]
) -> None:
    pixels = noisy(sigma)
    with open_image(jpeg(pixels, quality)) if quality else array(pixels) as source:
        assert done(source, AUTO) == needed
        assert done(source, TWICE) == [*needed, "sr"]
        unclean = options_from("sr", 2, {"clean": False})
        assert done(source, unclean) == ["sr"]


def test_what_differs_from_place_to_place_may_be_texture_and_stays() -> None:
    strengths = np.random.default_rng(1).choice([1, 6, 12, 24], (12, 12))
    grain = np.random.default_rng(0).normal(0, 1, (192, 192))
    pixels = smooth(192, 192) + np.kron(strengths, np.ones((16, 16))) * grain
    with array(pixels.clip(0, 255).astype(np.uint8)) as source:
        _, noise = plan_steps(source, AUTO)
    assert noise.level is not None
    assert noise.level > 3
    assert noise.reason == f"σ {noise.level:g} may be texture"


def test_each_step_says_why_it_is_done_or_not(jpeg: Callable[..., Path]) -> None:
    with open_image(jpeg(noisy(0), 40)) as source:
        blocks, noise, large = plan_steps(source, TWICE)
    assert blocks.reason.startswith("q 40 by its quantization table")
    assert blocks.gain == pytest.approx(1.1, abs=0.2)
    assert noise.level is not None
    assert noise.reason == f"σ {noise.level:g} is mild"
    assert large.plan
    assert large.plan.entry().card.name == "sr"


def test_a_model_whose_scores_promise_little_is_left_out(
    jpeg: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.model.card.Card.gain", lambda *_: 0.09)
    with open_image(jpeg(noisy(0), 40)) as source:
        step, _ = plan_steps(source, AUTO)
    assert step.plan is None
    assert step.reason == "q 40 would gain 0.09 dB only"


def test_nothing_is_done_with_what_is_clean() -> None:
    with array(noisy(0)) as source, pytest.raises(NothingToDo) as error:
        plan_chain(source, AUTO)
    assert str(error.value).startswith("needs none: no JPEG quality, σ 0")


def test_a_plan_of_several_steps_goes_to_json_and_back(
    jpeg: Callable[..., Path],
) -> None:
    with open_image(jpeg(noisy(12), 40)) as source:
        plan = plan_chain(source, TWICE)
    assert [step.task for step in plan.before] == ["deblock", "denoise"]
    assert plan.remarks[0].startswith("deblock q 40, then denoise σ")
    assert plan.remarks[0].endswith(", then sr × 2")
    assert RestorePlan.model_validate_json(plan.model_dump_json()) == plan


def test_steps_in_one_pass_give_what_they_give_one_after_the_other(
    jpeg: Callable[..., Path],
) -> None:
    path = jpeg(noisy(12, 70, 50), 40)
    with open_image(path) as source:
        plan = plan_chain(source, TWICE)
    whole = restore_image(path, "sr", 2).pixels
    step: Any = restore_image(path, "deblock").pixels
    for one in (*plan.before[1:], plan.model_copy(update={"before": ()})):
        step = carried_out(array(step), one)
    assert np.array_equal(whole, step)


def carried_out(
    source: PixelSource, plan: RestorePlan, region: PixelRegion | None = None
) -> NDArray[Any]:
    from memnet_core.inference.engine import bind_engine

    prepared = bind_engine(plan)
    result = np.zeros(prepared.result_shape(source.shape), source.dtype)
    for _ in restore(source, ArraySink(result), prepared, region):
        pass
    return result[0, ..., 0]


def test_a_region_of_several_steps_is_that_part_of_the_whole(
    jpeg: Callable[..., Path],
) -> None:
    with open_image(jpeg(noisy(12, 200, 150), 40)) as source:
        plan = plan_chain(source, TWICE)
        whole = carried_out(source, plan)
        rows, columns = slice(170, 230), slice(90, 200)
        part = carried_out(source, plan, PixelRegion([0], rows, columns))
    assert np.array_equal(part[rows, columns], whole[rows, columns])


class _Counting(SourceWrapper):
    """Counts the rows that are read."""

    rows = 0

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        self.rows += rows.stop - rows.start
        pixels: NDArray[Any] = self._source.read(plane, rows, columns)
        return pixels


def test_the_input_is_read_once_and_not_anew_for_each_strip(
    jpeg: Callable[..., Path],
) -> None:
    with open_image(jpeg(noisy(12, 1500, 32), 40)) as source:
        plan = plan_chain(source, TWICE)
        counting = _Counting(source)
        carried_out(counting, plan)
    # Once by the first step, and what tells that the plane is not of one value.
    assert counting.rows < 2 * 1500


def test_values_that_are_not_finite_stay_through_all_steps() -> None:
    pixels = noisy(12).astype(np.float32)
    pixels[40, 30] = np.nan
    large = restore_image(pixels, "sr", 2, range=(0, 255))
    assert np.isnan(large[80:82, 60:62]).all()
    assert np.isnan(large).sum() == 4


def test_python_restores_by_what_the_image_needs() -> None:
    pixels = noisy(20)
    restored = restore_image(pixels, task="auto")
    before, after = (np.abs(image - smooth()).mean() for image in (pixels, restored))
    assert after < before / 2
    assert np.array_equal(restore_image(noisy(0), task="auto"), noisy(0))
    with pytest.raises(NothingToDo):
        restore_image(noisy(0), task="denoise")


@pytest.mark.parametrize("wrong", [{"sigma": 20}, {"model": "sr"}, {"exit_block": 2}])
def test_what_is_about_one_task_does_not_go_with_auto(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="does not go with task='auto'; name a task"):
        options_from("auto", keywords=wrong)


def test_enlarging_does_not_depend_on_models_that_clean(
    install: Callable[..., Path],
) -> None:
    install("large", 2, task="sr")  # all other models are gone
    with array(noisy(20)) as source:
        _, noise, large = plan_steps(source, TWICE)
    assert noise.plan is None
    assert "No model for denoise is installed" in noise.reason
    assert large.plan


def test_a_result_tells_all_steps_and_what_was_asked_for(
    jpeg: Callable[..., Path],
) -> None:
    with open_image(jpeg(noisy(12), 40)) as source:
        made = provenance(prepare(source, AUTO).decision, AUTO)
    assert made.task == "denoise"
    assert made.options == {"task": "auto"}
    assert [(step.task, step.levels) for step in made.before] == [("deblock", (40.0,))]
