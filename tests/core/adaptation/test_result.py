from __future__ import annotations

import numpy as np
import pytest

from memnet_core.adaptation.holdout import LossDrop, Motion
from memnet_core.adaptation.result import (
    AdaptResult,
    ExampleImages,
    LossPoint,
    is_better,
)


def test_what_moves_needs_more_than_the_held_out_loss() -> None:
    fall, rise = LossDrop(2, 1, 0.1), LossDrop(1, 2, 0.1)
    still, moves = Motion(0, is_significant=False), Motion(1, is_significant=True)
    assert is_better(fall, None, still)
    assert not is_better(rise, None, still)
    assert not is_better(fall, None, moves)
    assert is_better(fall, None, moves, despite_motion=True)
    assert not is_better(rise, None, moves, despite_motion=True)
    assert is_better(fall, fall, moves)
    assert not is_better(fall, rise, moves)
    assert not is_better(rise, fall, moves)


def adapted(fall: LossDrop, stein: LossDrop | None, *, moves: bool) -> AdaptResult:
    nothing = np.zeros((1, 1), np.float32)
    return AdaptResult(
        loss_drop=fall,
        sure_drop=stein,
        motion=Motion(0.5, is_significant=moves),
        base="old",
        curve=(LossPoint(0, 1, 1),),
        examples=ExampleImages(nothing, nothing, nothing),
        path=None,
    )


@pytest.mark.parametrize(
    ("stein", "moves", "words"),
    [
        (LossDrop(1, 2, 0.1), True, "gets worse by motion, so old stays"),
        (LossDrop(1, 2, 0.1), False, "gets worse by overfitting, so old stays"),
        (LossDrop(1, 1, 0.1), True, "The error of single frames does not fall"),
        (None, True, "share the noise of frames that move"),
    ],
)
def test_why_the_old_model_stays_is_told(
    stein: LossDrop | None, moves: bool, words: str
) -> None:
    told = adapted(LossDrop(2, 1, 0.1), stein, moves=moves)
    assert words in told.verdict
    assert ("The frames move" in " ".join(told.sentences)) == moves
    assert ("by Stein's estimate" in " ".join(told.sentences)) == bool(stein)
