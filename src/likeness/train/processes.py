"""One training run in one process or in many: `torchrun --nproc-per-node N` on one machine, or on several.

Every process holds all weights and takes its share of every batch; gradients are added up. How a batch is cut into parts
decides the result, not which process computes which part: two processes do what one does with `accumulate=2`. Only losses
that gather the batch (`losses.batch.whole`) see the parts of all processes at once, and those of `accumulate` one by one.
The run's folder must be one that all processes see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from likeness.train.order import TrainingError


@dataclass(frozen=True)
class Processes:
    """This process among those of a run.

    Attributes:
        rank: Number of this process; 0 writes files.
        count: How many there are.
        device: Torch device of this one.
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Which items of a batch are this process's."""
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their sums over all processes, in place; the same shapes in the same order everywhere."""
        if self.count > 1:
            for group in _by_type(tensors):
                flat = torch.cat([tensor.reshape(-1) for tensor in group])
                torch.distributed.all_reduce(flat)
                _spread(flat, group)

    def follow_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by those of the first process, in place."""
        if self.count > 1:
            for group in _by_type(tensors):
                flat = torch.cat([tensor.reshape(-1) for tensor in group])
                torch.distributed.broadcast(flat, 0)
                _spread(flat, group)

    def agree(self, number: int, what: str) -> None:
        """Stop where processes stand at different numbers.

        Raises:
            TrainingError: In all of them.
        """
        if self.count > 1:
            seen = torch.zeros(self.count, dtype=torch.int64, device=self.device)
            seen[self.rank] = number
            torch.distributed.all_reduce(seen)
            if len(seen.unique()) > 1:
                raise TrainingError(
                    f"processes differ in {what} ({seen.tolist()}); the run's folder must be one that all see"
                )

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()


def is_first() -> bool:
    """Whether this process writes what follows a run, such as an exported file: the others end with the run."""
    return _place()[0] == 0


def shares(accumulate: int) -> tuple[int, range]:
    """Into how many parts the processes of a run cut a batch, and which are this one's; known before a run is joined."""
    rank, count = _place()
    return count * accumulate, range(rank * accumulate, (rank + 1) * accumulate)


def _place() -> tuple[int, int]:
    """Number of this process, and how many there are, as torchrun tells."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did; leave them at the end of the block.

    Args:
        device: "cpu" (gloo) or "cuda" (nccl, one GPU for each process of a machine).
    """
    count = _place()[1]
    if count == 1:
        yield Processes(device=device)
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), count, device)
    finally:
        torch.distributed.destroy_process_group()


def _by_type(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Tensors by number type, in order: one message for each."""
    groups: dict[torch.dtype, list[torch.Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def _spread(flat: torch.Tensor, tensors: list[torch.Tensor]) -> None:
    """Give a message's numbers back to the tensors that it was made of."""
    with torch.no_grad():
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(part.view(tensor.shape))
