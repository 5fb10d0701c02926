"""What a training run does in which order: seeds, batches and learning rates, all from (seed, step) alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from likeness.errors import LikenessError


class TrainingError(LikenessError):
    """A recipe is inconsistent, or training went to infinity. Exit code 7."""

    exit_code = 7


class Order(Sampler[list[int]]):
    """Batches of item numbers for the steps [start, stop): shuffled anew in every pass, from (seed, pass) alone.

    Of every batch only the items of `share` are given, a slice: several processes take one batch between them.
    """

    def __init__(self, length: int, batch: int, seed: int, start: int, stop: int, share: slice = slice(None)) -> None:
        if length < batch:
            raise TrainingError(f"the data set has {length} items, less than a batch of {batch}; lower the batch size")
        self.length, self.batch, self.seed, self.start, self.stop = length, batch, seed, start, stop
        self.share = share

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        per_pass, current, order = self.length // self.batch, -1, torch.empty(0)
        for step in range(self.start, self.stop):
            number, place = divmod(step, per_pass)
            if number != current:
                generator = torch.Generator().manual_seed(mix(self.seed, number))
                current, order = number, torch.randperm(self.length, generator=generator)
            yield order[place * self.batch : (place + 1) * self.batch][self.share].tolist()


def mix(seed: int, number: int) -> int:
    """One seed from two numbers."""
    return (seed * 1_000_003 + number) % (1 << 62)


def rate_factor(step: int, steps: int, warmup: int, floor: float) -> float:
    """Factor on the learning rates at `step` of `steps`: linear warm-up, then a cosine down to `floor`."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))
    return min(1.0, (step + 1) / max(warmup, 1)) * (floor + (1 - floor) * cosine)
