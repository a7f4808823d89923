from __future__ import annotations

import pickle
from pathlib import Path

from memnet_core.errors import ImageError, MemnetError


def test_error_carries_its_path_also_to_another_process() -> None:
    error = ImageError("a.png is damaged.", path=Path("a.png"))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path) == ("a.png is damaged.", Path("a.png"))


def test_error_without_a_path_has_none() -> None:
    assert MemnetError("No.").path is None
