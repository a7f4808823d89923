from __future__ import annotations

import pytest
import torch

from memnet_core._util.devices import is_reduced

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


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
