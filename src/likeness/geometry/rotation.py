"""Rotations as matrices, six numbers, axis-angle, quaternions and head angles. Batched; numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

from likeness.arrays import namespace


def _unit(vector: Any) -> Any:
    xp = namespace(vector)
    return vector / xp.sqrt(xp.clip((vector * vector).sum(-1), 1e-24, None))[..., None]


def cross(a: Any, b: Any) -> Any:
    """Cross product along the last axis: (..., 3) x (..., 3) -> (..., 3)."""
    xp = namespace(a)
    ax, ay, az, bx, by, bz = (v[..., i] for v in (a, b) for i in range(3))
    return xp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def from_sixd(sixd: Any) -> Any:
    """Rotation matrices (..., 3, 3) from six numbers (..., 6): the first two columns, made orthonormal.

    Zhou et al. 2019, "On the continuity of rotation representations in neural networks", sec. 3.
    """
    xp = namespace(sixd)
    first = _unit(sixd[..., :3])
    second = sixd[..., 3:]
    second = _unit(second - (first * second).sum(-1)[..., None] * first)
    return xp.stack([first, second, cross(first, second)], -1)


def to_sixd(rotation: Any) -> Any:
    """The first two columns of rotation matrices: (..., 3, 3) -> (..., 6), the inverse of `from_sixd`."""
    return namespace(rotation).concatenate([rotation[..., :, 0], rotation[..., :, 1]], -1)


def from_axis_angle(vector: Any) -> Any:
    """Rotation matrices (..., 3, 3) from axis times angle (..., 3) in radians (Rodrigues), smooth at zero."""
    xp = namespace(vector)
    square = (vector * vector).sum(-1)[..., None, None]
    angle = xp.sqrt(xp.clip(square, 1e-16, None))
    small = square < 1e-8
    sine = xp.where(small, 1 - square / 6, xp.sin(angle) / angle)
    cosine = xp.where(small, 0.5 - square / 24, (1 - xp.cos(angle)) / xp.clip(square, 1e-16, None))
    x, y, z = (vector[..., i] for i in range(3))
    zero = xp.zeros_like(x)
    skew = xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)
    identity = xp.eye(3, dtype=vector.dtype) if xp.__name__ == "numpy" else xp.eye(3).to(vector)
    return identity + sine * skew + cosine * (skew @ skew)


def from_quaternion(quaternion: Any) -> Any:
    """Rotation matrices (..., 3, 3) from quaternions (..., 4), x y z w, of any length but zero."""
    xp = namespace(quaternion)
    x, y, z, w = (_unit(quaternion)[..., i] for i in range(4))
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return xp.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)


def to_quaternion(rotation: Any) -> Any:
    """Unit quaternions (..., 4), x y z w, of rotation matrices (..., 3, 3); which of the two signs is open.

    Shepperd 1978: 4 q q^T holds only sums and differences of the matrix; its row of the largest component is well scaled.
    """
    xp = namespace(rotation)
    r = [[rotation[..., i, j] for j in range(3)] for i in range(3)]
    sums = r[0][1] + r[1][0], r[0][2] + r[2][0], r[1][2] + r[2][1]
    differences = r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]
    square = [1 + 2 * r[i][i] - (r[0][0] + r[1][1] + r[2][2]) for i in range(3)] + [1 + r[0][0] + r[1][1] + r[2][2]]
    best = xp.stack([square[0], sums[0], sums[1], differences[0]], -1)
    largest = square[0]
    for i, row in (
        (1, [sums[0], square[1], sums[2], differences[1]]),
        (2, [sums[1], sums[2], square[2], differences[2]]),
        (3, [*differences, square[3]]),
    ):
        better = square[i] > largest
        best = xp.where(better[..., None], xp.stack(row, -1), best)
        largest = xp.where(better, square[i], largest)
    return _unit(best)


def from_euler(yaw: Any, pitch: Any, roll: Any) -> Any:
    """Head rotation (..., 3, 3) = Rz(roll) Ry(yaw) Rx(pitch), radians.

    Seen by the camera: positive yaw turns the face towards the image's right (the subject's left), positive pitch
    lowers the chin, positive roll turns the head counter-clockwise in the image.
    """
    xp = namespace(yaw)
    cy, sy, cp, sp, cr, sr = xp.cos(yaw), xp.sin(yaw), xp.cos(pitch), xp.sin(pitch), xp.cos(roll), xp.sin(roll)
    rows = [
        cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp,
        sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp,
        -sy, cy * sp, cy * cp,
    ]  # fmt: skip
    stacked = xp.stack(rows, -1)
    return stacked.reshape(*stacked.shape[:-1], 3, 3)


def to_euler(rotation: Any) -> tuple[Any, Any, Any]:
    """(yaw, pitch, roll) in radians of rotation matrices (..., 3, 3), the inverse of `from_euler` for |yaw| < pi / 2."""
    xp = namespace(rotation)
    yaw = xp.arcsin(xp.clip(-rotation[..., 2, 0], -1.0, 1.0))
    pitch = xp.arctan2(rotation[..., 2, 1], rotation[..., 2, 2])
    roll = xp.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return yaw, pitch, roll
