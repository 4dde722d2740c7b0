"""Everything about a run that is not the system: optimiser, schedule, precision, seeds, how often to save."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Train:
    """How a system is trained."""

    steps: int = 4000
    """Training steps (a step sees one global batch)."""
    epochs: float | None = None
    """Passes over the data; where given, it replaces `steps`."""
    stop_at: int | None = None
    """End the run at this step, before its schedule ends (early stopping)."""
    batch: int = 64
    """Hands per step, over all ranks."""
    optimiser: Literal["adam", "adamw"] = "adamw"
    """Adam as the papers use it, or AdamW."""
    lr: float = 1e-3
    """Learning rate."""
    beta2: float = 0.99
    """Adam's second beta (its first is 0.9)."""
    weight_decay: float = 1e-4
    """Only for AdamW."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises linearly; at most a tenth of the run."""
    schedule: Literal["cosine", "constant", "epoch_decay"] = "cosine"
    """Fall of the learning rate."""
    decay: float = 0.95
    """Factor for each epoch, with `epoch_decay`."""
    clip: float = 0.0
    """Largest gradient norm, as a multiple of its running mean; 0 for no clipping."""
    ema: float = 0.998
    """Decay of the averaged weights that are saved; 0 saves the last ones."""
    precision: Literal["float32", "bf16-variances", "bf16"] = "bf16"
    """Precision of convolutions and products: bf16 under autocast, or for variances alone."""
    compile: bool = True
    """Compile the objective and the moments of activations (20 to 45 s once); eager where that fails."""
    channels_last: bool = True
    """Memory layout of images and convolutions."""
    seed: int = 0
    """Seed of weights, shuffling, augmentation and sampling."""
    workers: int = 2
    """Loader threads."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    save_every: int = 1000
    """Steps between saves of the whole state."""

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps < 1:
            raise ValueError("steps is at least 1")
        if self.stop_at is not None and self.stop_at < 1:
            raise ValueError("stop_at is at least 1")
        if min(self.batch, self.log_every, self.save_every, self.workers) < 1:
            raise ValueError("batch, log_every, save_every and workers are at least 1")

        epochs = 1.0 if self.epochs is None else self.epochs
        if not 0 < self.lr < math.inf or not 0 < epochs < math.inf:
            raise ValueError("lr and epochs are positive")
        if not all(0 <= value < 1 for value in (self.beta2, self.ema)) or not 0 < self.decay <= 1:
            raise ValueError("beta2 and ema lie in [0, 1), decay in (0, 1]")

        not_negative = (self.weight_decay, self.warmup_steps, self.clip)
        if not all(0 <= value < math.inf for value in not_negative) or self.seed < 0:
            raise ValueError("weight_decay, warmup_steps, clip and seed are not negative")

    def total_steps(self, count: int) -> int:
        """Steps of the whole run on a data set of `count` hands."""
        return self.steps if self.epochs is None else max(1, round(self.epochs * count / self.batch))

    def end_step(self, count: int) -> int:
        """The step at which the run ends, on a data set of `count` hands."""
        total = self.total_steps(count)
        return total if self.stop_at is None else min(total, self.stop_at)

    def lr_at(self, step: int, count: int) -> float:
        """Learning rate of a step."""
        # a short run that rises for most of its steps would end before it has learned
        end = self.end_step(count)
        rise = min(1.0, (step + 1) / max(1, min(self.warmup_steps, end // 10)))
        match self.schedule:
            case "cosine":
                fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.total_steps(count)))
            case "constant":
                fall = 1.0
            case "epoch_decay":
                fall = self.decay ** (step * self.batch // count)
        return self.lr * rise * fall
