"""bfloat16, memory formats and compilation, as far as a CPU can show them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from memnet_core._util.devices import is_reduced
from memnet_core.training.checkpoint import read_state
from memnet_core.training.events import TrainingProgress
from memnet_core.training.loop import STATE_FILE, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def losses(config: TrainingConfig) -> tuple[float, float]:
    """Mean losses of the first and of the last steps."""
    events = Trainer(config).run()
    every = [event.loss for event in events if isinstance(event, TrainingProgress)]
    return sum(every[:3]) / 3, sum(every[-10:]) / 10


NORMED = {
    "memory_blocks": 2,
    "recursions": 1,
    "channels": 4,
    "unshuffle": 1,
    "batch_norm": True,
}
"""A network with BatchNorm, as the paper has it."""


def convolutions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, torch.Tensor]]:
    """What convolutions return from now on, and whether gradients are taken."""
    seen: list[tuple[bool, torch.Tensor]] = []
    forward = nn.Conv2d.forward

    def watched(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        y = forward(self, x)
        seen.append((torch.is_grad_enabled(), y.detach()))
        return y

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    return seen


@pytest.mark.slow
def test_run_in_bfloat16_learns_as_one_in_float32_does(
    make_config: Make, tmp_path: Any
) -> None:
    (rough_first, rough), (first, fine) = (
        losses(
            make_config(
                task="denoise",
                precision=precision,
                steps=40,
                report_every=1e-9,
                optimizer="adamw",
                learning_rate=2e-2,
                out=tmp_path / precision,
                name="x",
            )
        )
        for precision in ("bfloat16", "float32")
    )
    assert rough_first != first
    assert rough_first == pytest.approx(first, rel=0.02)
    assert fine < 0.4 * first
    assert rough == pytest.approx(fine, rel=0.1)


def test_weights_updates_and_statistics_stay_in_float32(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = convolutions(monkeypatch)
    config = make_config(precision="bfloat16", steps=4, freeze_norm_from=1)
    list(Trainer(config).run())
    assert {y.dtype for trained, y in seen if trained} == {torch.bfloat16}
    assert {y.dtype for trained, y in seen if not trained} == {torch.float32}
    state = read_state(config.out / STATE_FILE, CPU)
    held = [*state["model"].values(), *state["average"].values()]
    for moments in state["optimizer"]["state"].values():
        held += moments.values()
    assert len(held) > 40
    assert {tensor.dtype for tensor in held} <= {torch.float32, torch.int64}


def test_run_without_batch_norm_stays_in_bfloat16(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = convolutions(monkeypatch)
    list(Trainer(make_config(precision="bfloat16", freeze_norm_from=0.5)).run())
    assert {y.dtype for trained, y in seen if trained} == {torch.bfloat16}


def test_run_ends_in_float32_once_norms_are_frozen(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = convolutions(monkeypatch)
    config = make_config(
        architecture=NORMED, precision="bfloat16", steps=4, freeze_norm_from=0.5
    )
    list(Trainer(config).run())
    types = [y.dtype for trained, y in seen if trained]
    half = len(types) // 2
    assert set(types[:half]) == {torch.bfloat16}
    assert set(types[half:]) == {torch.float32}


@pytest.mark.parametrize("batches", ["workers", "device"])
def test_features_are_computed_channels_last(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, batches: str
) -> None:
    seen = convolutions(monkeypatch)
    list(Trainer(make_config(steps=1, batches=batches)).run())
    features = [y for _, y in seen if y.shape[1] > 1]
    assert features
    for y in features:
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx2": True}, False),
    ],
    ids=str,
)
def test_precision_is_that_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], *, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert is_reduced("auto", CPU) is expected
    assert is_reduced("bfloat16", CPU)
    assert not is_reduced("float32", CPU)
    for can in (True, False):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation, can=can: can and not including_emulation,
        )
        assert is_reduced("auto", CUDA) is can
    assert not is_reduced("auto", torch.device("mps"))


@pytest.mark.slow
def test_compiled_network_takes_the_steps(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    compiled: list[nn.Module] = []
    compile_ = torch.compile

    def eager(model: nn.Module) -> Any:
        compiled.append(model)
        return compile_(model, backend="eager")

    monkeypatch.setattr(torch, "compile", partial(eager))
    plain, fast = (
        make_config(steps=2, compile=is_compiled, out=tmp_path / name, name="x")
        for is_compiled, name in ((False, "plain"), (True, "fast"))
    )
    expected, found = (
        Trainer(config).averaged_model().state_dict()
        for config in (plain, fast)
        if list(Trainer(config).run())
    )
    assert len(compiled) == 2
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, msg=name)
