"""How to train, apart from what the recipe says: the options that all training commands share. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FREE = ("workers", "threads", "save_every", "log_every", "device", "compile")
"""Settings that may change when a run is resumed: they decide how fast, not what, a run learns (but for rounding)."""


@dataclass(frozen=True)
class Settings:
    """How to train, apart from what the recipe says."""

    batch: int = 32
    """Samples per step."""
    seed: int = 0
    """Everything random follows from it."""
    workers: int = 1
    """Processes that prepare data; 0 does it in the training process. Results do not depend on it."""
    threads: int = 1
    """Threads of the training process."""
    warmup: int = 100
    """Steps over which a stage's learning rates rise from zero."""
    floor: float = 0.01
    """Share of the learning rates that is left at the end of a stage's cosine."""
    decay: float = 1e-2
    """AdamW's weight decay, on matrices and filters only."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    average: float = 0.0
    """Decay of the moving average of the weights; 0 keeps none."""
    save_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between reports."""
    device: str = "cpu"
    """Torch device."""
    compile: bool = False
    """Let torch.compile make training a fifth quicker; needs a C++ compiler, and a minute at the start."""

    def identity(self) -> dict[str, Any]:
        """The settings that must be equal for a run to be the same run."""
        return {key: value for key, value in asdict(self).items() if key not in FREE}
