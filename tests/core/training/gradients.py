"""Take one training step and save the gradients: ``gradients.py CONFIG FILE``."""

import sys
from pathlib import Path

import torch

from memnet_core.training.config import TrainingConfig
from memnet_core.training.distributed import is_first, joined_processes
from memnet_core.training.loop import Trainer

if __name__ == "__main__":
    with joined_processes():
        config = TrainingConfig.model_validate_json(Path(sys.argv[1]).read_text())
        trainer = Trainer(config, "cpu")
        list(trainer.run(stop_at=1))
        if is_first():
            model = trainer._model
            gradients = {name: p.grad for name, p in model.named_parameters()}
            torch.save(gradients | dict(model.named_buffers()), sys.argv[2])
