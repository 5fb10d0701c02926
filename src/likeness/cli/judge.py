"""`likeness train judge`: a recogniser of another kind than those in losses, to judge what was trained with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.cli.identity import shards, write

BATCH = 64


@dataclass(frozen=True)
class Judge:
    """Learn linear discriminants of histograms of gradients and coarse colours, in closed form: minutes of one core.

    Nothing in it is a network, nothing of it comes from one, so that it shares no weakness with a network in a loss.
    """

    export: Path = Path("runs/judge.safetensors")
    """Where it is written, as `likeness train identity` writes its networks."""
    people: tuple[Path, ...] = (Path("runs/people/train"), Path("runs/videos/train"))
    """Shards of `likeness train people`, or folders of them."""
    size: int = 96
    """Pixels along a side of the crop."""
    features: int = 128
    """Discriminants."""
    ridge: float = 0.1
    """Variance within people that is supposed besides what is seen, over the mean one."""
    shots: int = 4
    """Pictures of a person, at most; of those with several photos all photos count."""
    seed: int = 1
    """Chooses the pictures."""


def judge(config: Judge) -> None:
    """Learn and write."""
    import torch

    from likeness.data import identities
    from likeness.encoders.recognition.small import IdentityNetwork
    from likeness.train.discriminant import discriminants

    paths = shards(config.people)
    album = identities.read(paths)
    network = IdentityNetwork("gradients", config.size, config.features).eval()
    rows = chosen(album, config.shots, np.random.default_rng(config.seed))
    vectors = []
    for first in range(0, len(rows), BATCH):
        crops = [identities.middle(album.picture(int(i)), config.size) for i in rows[first : first + BATCH]]
        image = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            vectors.append(network.prepared(image).numpy())
    directions, mean = discriminants(np.concatenate(vectors), album.people[rows], config.features, config.ridge)
    with torch.no_grad():
        network.embedding.weight.copy_(torch.from_numpy(directions.T))
        network.spread.running_mean.copy_(torch.from_numpy(mean @ directions))
        network.spread.running_var.fill_(1.0 - network.spread.eps)  # within people the variance is 1 already
    write(network, config.export, "judge", paths)


def chosen(album, shots: int, random: np.random.Generator) -> np.ndarray:
    """Places of the pictures to learn from: all photos, and so many renders that a person has `shots` pictures."""
    from likeness.data.identities import PHOTO

    order = random.permutation(len(album))
    order = order[np.argsort(2 * album.people[order] + (album.kinds[order] != PHOTO), kind="stable")]
    people = album.people[order]
    rank = np.arange(len(order)) - np.searchsorted(people, people)
    return order[(rank < shots) | (album.kinds[order] == PHOTO)]
