"""Train and score the networks of the paper's tables, one by one, resumably."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.sanitize import join_limited
from memnet_core.errors import SettingRef, TrainingError, UsageError
from memnet_core.evaluation.run import evaluate
from memnet_core.inference.engine import Engine
from memnet_core.model.checkpoint import load_model
from memnet_core.paper.plan import TABLES
from memnet_core.paper.report import Outcome, Training, write_tables
from memnet_core.progress import Notice
from memnet_core.training.events import Finished
from memnet_core.training.logs import read_log
from memnet_core.training.loop import Trainer
from memnet_core.training.recipes import config_from, write_config
from memnet_core.training.runner import model_file, train_session

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from memnet_core.model.card import Card
    from memnet_core.paper.plan import Network, ReproductionPlan
    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.events import Event

__all__ = ["Started", "reproduce"]

_FINISHED = "finished.json"
_SCORES = "scores.json"

_RENAMED = {"licence": "license"}
"""Settings that earlier versions wrote under another name."""


@dataclass(frozen=True)
class Started:
    """The training of a network starts, or resumes at a step above 0.

    `number` counts the networks from 1 to `total`.
    """

    network: str
    number: int
    total: int
    step: int


def reproduce(
    plan: ReproductionPlan, device: str = "auto", command: str = ""
) -> Generator[Started | Event, None, list[Path]]:
    """Train and score the networks of the tables, and write the tables.

    Finished networks are skipped, and interrupted ones resume. Tables are written
    after every network.

    Parameters
    ----------
    plan : ReproductionPlan
        Tables, data and scale.
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.
    command : str
        Command for the model cards.

    Yields
    ------
    Started, Event
        Start of each network, and the events of its training. Closing the generator
        saves the run.

    Returns
    -------
    list of Path
        Files of the tables.

    Raises
    ------
    MemnetError
        If images are missing, a folder holds a run of other settings, or training or
        evaluation fails.
    """
    networks = plan.networks()
    configs = [config_from(plan.settings(network)) for network in networks]
    yield from _notices(plan)
    outcomes: dict[str, Outcome] = {}
    written: list[Path] = []
    for number, (network, config) in enumerate(zip(networks, configs, strict=True), 1):
        training = _finished(config)
        if training is None:
            trainer = Trainer(config, device)
            write_config(config)
            yield Started(network.name, number, len(networks), trainer.step)
            training = yield from _trained(trainer, command)
        scores = _scored(network, plan, config, device)
        log = read_log(config.out)
        outcomes[network.name] = Outcome(network, training, scores, log)
        written = write_tables(plan, outcomes)
    return written


def _notices(plan: ReproductionPlan) -> Generator[Notice, None, None]:
    """Yield notices of missing test sets; raise if a table has none at all."""
    for number in plan.tables:
        missing = [each.name for each in plan.missing(TABLES[number])]
        if not missing:
            continue
        images = f"test images {join_limited(missing)} of Table {number}"
        lack = f"{plan.data} lacks the {images}"
        if not plan.tested(TABLES[number]):
            raise UsageError(f"{lack}; put some into a folder of that name there.")
        yield Notice(f"{lack}, whose rows stay empty.")


def _trained(trainer: Trainer, command: str) -> Generator[Event, None, Training]:
    """Train to the end of the schedule; store and return the training cost."""
    config = trainer.config
    with closing(train_session(trainer, command=command)) as events:
        for event in events:
            if isinstance(event, Finished):
                training = Training(
                    trainer.images, event.step, event.megapixels, event.minutes
                )
            yield event
    found = {"settings": _settings(config), "training": asdict(training)}
    _write(config.out / _FINISHED, found)
    return training


def _finished(config: TrainingConfig) -> Training | None:
    """Return the training cost of a finished run, or None.

    Raises
    ------
    TrainingError
        If its settings were different.
    """
    found = _read(config.out / _FINISHED)
    if found is None or not model_file(config).exists():
        return None
    before = {_RENAMED.get(k, k): v for k, v in found["settings"].items()}
    if before != _settings(config):
        names = [k for k, v in _settings(config).items() if before.get(k) != v]
        out = SettingRef("out")
        raise TrainingError(
            f"{config.out} was trained with other settings ({join_limited(names)}); "
            f"choose another folder with {out}.",
            settings=[out],
        )
    return Training(**found["training"])


def _settings(config: TrainingConfig) -> dict[str, Any]:
    settings: dict[str, Any] = config.model_dump(mode="json", exclude={"out"})
    return settings


def _scored(
    network: Network, plan: ReproductionPlan, config: TrainingConfig, device: str
) -> dict[str, dict[str, list[float]]]:
    """Return the scores of a network by set and level; compute missing ones."""
    path = model_file(config)
    model, card = load_model(path)
    found = _read(config.out / _SCORES)
    if found is None or found["sha256"] != card.sha256:
        found = {"sha256": card.sha256, "scores": {}}
    engine: Engine | None = None
    for folder, levels in plan.tests(network).items():
        known = found["scores"].setdefault(folder.name, {})
        missing = [level for level in levels if f"{level:g}" not in known]
        if not missing:
            continue
        engine = engine or Engine(model, device=device)
        known |= _measured(engine, card, folder, missing, plan.seed)
        _write(config.out / _SCORES, found)
    scores: dict[str, dict[str, list[float]]] = found["scores"]
    return scores


def _measured(
    engine: Engine, card: Card, folder: Path, levels: list[float], seed: int
) -> dict[str, list[float]]:
    """Compute PSNR and SSIM of degraded and restored images, by level."""
    means = [e.mean for e in evaluate(engine, card, folder, levels, seed=seed)]
    return {f"{m.level:g}": [m.input_psnr, m.input_ssim, m.psnr, m.ssim] for m in means}


def _read(path: Path) -> dict[str, Any] | None:
    """Read a file written by this module; None if missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        with replaced_when_complete(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}; make room there, and give "
            "the same command again."
        ) from error
