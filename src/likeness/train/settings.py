"""How to train, apart from what the recipe says: the options that all training commands share. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

FREE = (
    "workers", "threads", "save_every", "log_every", "device", "compile", "accumulate", "stages", "board",
    "pictures_every",
)  # fmt: skip
"""Settings that may change when a run is resumed: they decide how fast, not what, a run learns (but for rounding). Of
`accumulate` the run keeps into how many parts a batch is cut, and the stages as they are after their changes."""
LATER = {"optimizer": "adamw", "precision": "float32", "parts": 1}
"""What runs did whose checkpoints do not name these settings yet."""
Optimizer = Literal["adamw", "adam", "adadelta"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
"""Names of the optimisers, for settings and for stages."""


@dataclass(frozen=True)
class Settings:
    """How to train, apart from what the recipe says."""

    batch: int = 32
    """Samples per step, over all processes."""
    accumulate: int = 1
    """Parts that a process cuts its share of a batch into, computed one after the other: less memory, and the same step where
    losses are means over a batch's items."""
    optimizer: Optimizer = "adamw"
    """Optimiser of the stages that name none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers of the networks' large products; bfloat16 needs half the memory, and is meant for GPUs: on a CPU it was twice as
    slow. Weights, image formation and losses stay in float32."""
    stages: dict[str, str] = field(default_factory=dict)
    """Changes of stages, by number from 0 or by name: `--stages.1.terms.moments 5 --stages.full.steps 200`; `off` leaves a
    term or a group out."""
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
    """AdamW's weight decay, on matrices and filters only; the other optimisers have none."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    average: float = 0.0
    """Decay of the moving average of the weights; 0 keeps none."""
    save_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between reports."""
    pictures_every: int = 0
    """Steps between pictures of the same eight faces, if the recipe draws any; 0 draws none."""
    board: bool = False
    """Write the numbers and pictures for TensorBoard too; needs the `board` extra."""
    device: str = "cpu"
    """Torch device."""
    compile: bool = False
    """Let torch.compile make training a fifth quicker; needs a C++ compiler, and a minute at the start."""

    def identity(self) -> dict[str, Any]:
        """The settings that must be equal for a run to be the same run."""
        return {key: value for key, value in asdict(self).items() if key not in FREE}
