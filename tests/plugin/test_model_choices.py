"""What is told of models."""

from __future__ import annotations

from napari_memnet.model_choices import models_for, trained_for


def test_shipped_models_are_said_to_know_photographs() -> None:
    shipped = [x for x in models_for("denoise") if x.is_shipped]
    told = trained_for([x for x in shipped if x.card.name == "denoise"])
    assert "trained for σ 0-75 on photographs (CID22, CLIC2025)" in told
    assert "fluorescence" in told
