"""What a moving face is believed to do: go on as it goes, but for sudden moves; and the smoother that follows from it.

All frames of a stretch are solved together, so that the answer at a frame comes as much from the frames after it as from
those before: there is no lag. The belief is a normal distribution of accelerations with heavy tails (Student's), group by
group: a lid that closes within three frames loosens the lids for that moment and nothing else, where a filter with one
strength would have to choose between trembling and half-closed eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

RATE = 30.0
"""Frames per second at which accelerations are stated: mm per (1/30 s)^2. The belief itself is about seconds."""
ROUNDS = 3
"""How often what leaves its bounds is fixed there and the rest solved again. Ours."""
RIDGE = 1e-9


@dataclass(frozen=True)
class Calm:
    """How little a group of coordinates accelerates.

    Attributes:
        columns: Coordinates of the state that move together, such as those of one eye's lids.
        size: (len(columns),) mm that the surface moves by a unit of each.
        spread: mm per (1/30 s)^2, standard deviation of the group's acceleration while nothing happens.
        freedom: Degrees of freedom of the Student distribution; smaller lets go sooner.
    """

    columns: np.ndarray
    size: np.ndarray
    spread: float
    freedom: float = 3.0


def curvature(times: np.ndarray) -> np.ndarray:
    """(F, 3): the second difference of neighbours' values, per (1/`RATE` s)^2, at each frame but the first and the last.

    Rows of the first and the last frame are zero.

    Args:
        times: (F,) seconds, increasing.
    """
    result = np.zeros((len(times), 3))
    if len(times) > 2:
        before, after = np.diff(times)[:-1] * RATE, np.diff(times)[1:] * RATE
        mean = (before + after) / 2
        result[1:-1] = np.stack(
            [1 / (before * mean), -1 / (before * mean) - 1 / (after * mean), 1 / (after * mean)], -1
        )
    return result


def looseness(bend: np.ndarray, calms: Sequence[Calm]) -> np.ndarray:
    """(F, n) precision of the belief at each frame and coordinate, given the accelerations there (F, n).

    Student's distribution as iterated weights, (freedom + 1) / (freedom + square), the square being that of the whole
    group's acceleration in standard deviations.
    """
    result = np.zeros_like(bend)
    for calm in calms:
        scale = (calm.size / calm.spread) ** 2
        square = (bend[:, calm.columns] ** 2 * scale).sum(1)
        result[:, calm.columns] = ((calm.freedom + 1) / (calm.freedom + square))[:, None] * scale
    return result


def step(
    hessian: np.ndarray,
    gradient: np.ndarray,
    bend: np.ndarray,
    precision: np.ndarray,
    stencil: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """The step of all frames together that minimises the frames' quadratic models and the belief, within bounds.

    sum_t [d_t' H_t d_t / 2 + g_t' d_t] + sum_t precision_t (bend_t + (D d)_t)^2 / 2, D being the stencil's differences. The
    matrix is banded; weights that leave their bounds are fixed there, and the others are solved again.

    Args:
        hessian, gradient: (F, n, n) and (F, n) of what each frame shows; zero where it shows nothing.
        bend: (F, n) accelerations of the present state.
        precision: (F, n) of the belief, from `looseness`.
        stencil: (F, 3) from `curvature`.
        low, high: (F, n) bounds of the step, low <= 0 <= high.

    Returns:
        (F, n).
    """
    frames, count = gradient.shape
    matrix = _banded(hessian, precision, stencil)
    pull = stencil[:, :, None] * (precision * bend)[:, None]
    slope = gradient + pull[:, 1]
    slope[:-1] += pull[1:, 0]
    slope[1:] += pull[:-1, 2]
    slope, low, high = slope.ravel(), low.ravel(), high.ravel()
    answer = np.zeros(frames * count)
    held = ((low >= 0) & (slope > 0)) | ((high <= 0) & (slope < 0))
    for _ in range(ROUNDS):
        answer = np.where(held, answer, 0)
        right = -(slope + _product(matrix, answer))
        answer = np.where(
            held,
            answer,
            solveh_banded(_without(matrix, held), np.where(held, 0, right), lower=True, check_finite=False),
        )
        outside = (answer < low) | (answer > high)
        answer = np.clip(answer, low, high)
        if not (outside & ~held).any():
            break
        held |= outside
    return answer.reshape(frames, count)


def _banded(hessian: np.ndarray, precision: np.ndarray, stencil: np.ndarray) -> np.ndarray:
    """Lower band (3 n or less, F n) of the whole matrix: entry [k, j] is row j + k, column j."""
    frames, count, _ = hessian.shape
    matrix = np.zeros((3 * count, frames, count))
    for k in range(count):
        matrix[k, :, : count - k] = np.diagonal(hessian, -k, 1, 2)
    middle = matrix[0]
    for place in range(3):  # frame t's belief touches frames t - 1, t and t + 1
        rows = slice(max(0, 1 - place), frames - max(0, place - 1))
        target = slice(rows.start + place - 1, rows.stop + place - 1)
        middle[target] += stencil[rows, place, None] ** 2 * precision[rows]
    near, far = matrix[count], matrix[2 * count]
    near[:-1] += (stencil[:-1, 1] * stencil[:-1, 2])[:, None] * precision[:-1]
    near[:-1] += (stencil[1:, 0] * stencil[1:, 1])[:, None] * precision[1:]
    far[:-2] += (stencil[1:-1, 0] * stencil[1:-1, 2])[:, None] * precision[1:-1]
    middle += RIDGE
    return matrix.reshape(3 * count, frames * count)[: frames * count]  # a band cannot be longer than the matrix


def _product(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The symmetric matrix of a lower band times a vector."""
    result = matrix[0] * vector
    if vector.any():
        for k in range(1, len(matrix)):
            band = matrix[k, : len(vector) - k]
            result[k:] += band * vector[:-k]
            result[:-k] += band * vector[k:]
    return result


def _without(matrix: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The matrix with the rows and columns of held unknowns replaced by those of the identity."""
    free = (~held).astype(float)
    result = np.zeros_like(matrix)
    result[0] = matrix[0] * free + held
    for k in range(1, len(matrix)):
        result[k, : len(held) - k] = matrix[k, : len(held) - k] * free[k:] * free[:-k]
    return result
