"""Model files of networks that read noise: safetensors with a card of its own kind."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ModelError
from memnet_core.model.card import TrainingSummary
from memnet_core.model.checkpoint import (
    CARD_KEY,
    kind_of_card,
    read_header,
    tensors_sha256,
)
from memnet_core.noise.network import NoiseNetwork

__all__ = [
    "NoiseCard",
    "load_noise_network",
    "save_noise_network",
    "shipped_noise_network",
]

_SHIPPED = Path(__file__).with_name("noise.safetensors")


class NoiseCard(BaseModel):
    """What is to be known of a network that reads noise; its shape follows from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["noise"] = "noise"
    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    version: Annotated[str, Field(max_length=100)] = "1"
    license: Annotated[str, Field(max_length=1000)]
    training: TrainingSummary
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def save_noise_network(path: Path, network: NoiseNetwork, **card: Any) -> NoiseCard:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : Path
        Where to write; what is there is replaced.
    network : NoiseNetwork
        Its weights are stored.
    **card
        The fields of `NoiseCard` other than `sha256`.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    written = NoiseCard(**card, sha256=tensors_sha256(tensors))
    try:
        with replaced_when_complete(path) as temporary:
            temporary.write_bytes(save(tensors, {CARD_KEY: written.model_dump_json()}))
    except OSError as error:
        raise ModelError(
            f"Cannot write the model file {path}: {error.strerror}."
        ) from error
    return written


def load_noise_network(path: Path | str) -> tuple[NoiseNetwork, NoiseCard]:
    """Load a model file into a network in evaluation mode.

    Parameters
    ----------
    path : Path or str
        A file that `save_noise_network` wrote.

    Returns
    -------
    NoiseNetwork
        The network, on the CPU.
    NoiseCard
        What the file says of it.

    Raises
    ------
    ModelError
        If the file is missing, of another kind, or damaged.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    card = _read_card(path)
    with torch.device("meta"):
        network = NoiseNetwork()
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); get a fresh copy of the file."
        ) from error
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise ModelError(
            f"The weights in {path} are not those of a network that reads noise; get a "
            "fresh copy of the file."
        )
    if tensors_sha256(tensors) != card.sha256:
        raise ModelError(
            f"The weights in {path} are not those its card describes (SHA-256 "
            "differs); get a fresh copy of the file."
        )
    network.load_state_dict(tensors, assign=True)
    return network.eval(), card


@functools.cache
def shipped_noise_network(device: str = "cpu") -> NoiseNetwork:
    """Return the network that comes with the package, on a device."""
    network, _ = load_noise_network(_SHIPPED)
    return network.to(device)


def _read_card(path: Path) -> NoiseCard:
    """Return the card of a file that reads noise."""
    metadata = read_header(path).get("__metadata__")
    text = metadata.get(CARD_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str) or kind_of_card(text) != "noise":
        raise ModelError(
            f"{path} holds no network that reads noise; give a file that 'memnet train "
            "--recipe noise' wrote."
        )
    try:
        return NoiseCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(
            f"The card of {path} is not valid ({field}: {first['msg']}); "
            "the file may come from a newer version of napari-memnet."
        ) from error
