"""Time of what runs for every face, on one thread: `python benchmarks/runtime.py`.

Processor time of the thread, so that a busy machine counts little; medians over many rounds in which the parts take turns.
The regressor's network, run alone, is the unit of the ratios: they hold on machines that are faster or slower.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from likeness.photos import crop
from likeness.photos.detect import Detection, face_frame, square
from likeness.runtime.decode import Decoder
from likeness.runtime.detect import Finder
from likeness.runtime.encode import Encoder, Estimate
from likeness.runtime.landmarks import Landmarker

BUDGET = {"find at 640 px": 4.0, "network and decode base": 2.5}
"""Milliseconds that the project aims at; the regressor's begin with the crop."""


def parts() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    random = np.random.default_rng(0)
    photo = cv2.resize(random.integers(0, 255, (60, 80, 3), dtype=np.uint8), (640, 480))
    face = Detection((200, 120, 360, 280), 0.1, 1.0)
    finder, encoder, base, dense = Finder(), Encoder(), Decoder("base"), Decoder("dense")
    estimate, look = encoder.encode(photo, face), Landmarker()
    cutout = crop.crop(photo, face.box, face.roll).image[None]

    def network() -> list[np.ndarray]:
        return encoder.session.run(None, {"image": cutout})

    return {
        "network once": network,
        "crop": lambda: crop.crop(photo, face.box, face.roll),
        "regress, one pass": lambda: encoder.encode(photo, face, 1),
        "regress, two passes": lambda: _twice(encoder, photo, face),
        "decode base": lambda: base.decode(estimate.codes, estimate.view),
        "decode dense": lambda: dense.decode(estimate.codes, estimate.view),
        "network and decode base": lambda: (network(), base.decode(estimate.codes, estimate.view)),
        "crop, network and decode base": lambda: base.decode(*_codes(encoder.encode(photo, face, 1))),
        "crop, network and decode dense": lambda: dense.decode(*_codes(encoder.encode(photo, face, 1))),
        "find at 640 px": lambda: finder.find(photo),
        "landmarks with their spread": lambda: look(photo, face),
    }


def _codes(estimate: Estimate) -> tuple:
    return estimate.codes, estimate.view


def _twice(encoder: Encoder, photo: np.ndarray, face: Detection) -> Estimate:
    """What a badly placed box costs: the second crop is made of the first one's landmarks."""
    first = encoder.encode(photo, face, 1)
    center, side, roll = face_frame(first.landmarks)
    return encoder.encode(photo, Detection(square(center, side), roll, 1.0), 1)


def measure(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds (rounds,) by name; ten calls of each before the first that counts."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        for _ in range(10):
            action()
    for _ in range(rounds):
        for name, action in actions.items():
            action()  # brings its weights back into the cache, as the second face of a photo finds them
            start = time.thread_time()
            action()
            times[name].append(1e3 * (time.thread_time() - start))
    return {name: np.array(values) for name, values in times.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    times = measure(parts(), rounds)
    unit = np.median(times["network once"])
    print(f"{'part':<32}{'median ms':>10}{'fastest':>10}{'ratio':>8}{'budget':>8}")
    for name, values in times.items():
        budget = f"{BUDGET[name]:.1f}" if name in BUDGET else ""
        print(f"{name:<32}{np.median(values):>10.2f}{values.min():>10.2f}{np.median(values) / unit:>8.2f}{budget:>8}")


if __name__ == "__main__":
    main()
