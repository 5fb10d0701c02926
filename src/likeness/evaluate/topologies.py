"""Where the Multi-PIE 68 lie on meshes that other systems write: vertex numbers, told by how many vertices a mesh has.

Numbers alone; no model, mean or mode of these systems is here. Each list stands in several public texts, and was held
against public template meshes before it came here: what was seen is said with each.
"""

from __future__ import annotations

import numpy as np

FLAME = 5023
"""Vertices of FLAME heads: DECA, EMOCA, MICA, SMIRK, RingNet."""
BFM_FRONT = 35709
"""Vertices of the front of BFM 2009: Deep3DFaceRecon, 3DDFA-V3, HRN."""
BFM_TRIMMED = 53215
"""Vertices of BFM 2009 without the inside of the mouth: 3DDFA, PRNet's training, 300W-LP."""
BFM_NO_NECK = 38365
"""Vertices of the same without neck and ears: 3DDFA_V2."""

_FLAME_68 = (
    2212, 3060, 3485, 3384, 3386, 3389, 3418, 3395, 3414, 3598, 3637, 3587, 3582, 3580, 3756, 2012, 730,
    1984, 3157, 335, 3705, 3684, 3851, 3863, 16, 2138, 571, 3553, 3561, 3501, 3526, 2748, 2792, 3556, 1675, 1612,
    2437, 2383, 2494, 3632, 2278, 2296, 3833, 1343, 1034, 1175, 884, 829,
    2715, 2813, 2774, 3543, 1657, 1696, 1579, 1795, 1865, 3503, 2948, 2898, 2845, 2785, 3533, 1668, 1730, 1669, 3509, 2786,
)  # fmt: skip
"""As public evaluations of FLAME heads list them. On a FLAME template the points of the middle line (bridge to lips), the
left brow, the inner corner of the left eye and the jaw below the left ear lie where their names say, within 4 mm."""
_INNER_BFM = (
    8161, 8177, 8187, 8192, 6515, 7243, 8204, 9163, 9883, 2215, 3886, 4920, 5828, 4801, 3640, 10455, 11353, 12383, 14066,
    12653, 11492, 5522, 6025, 7495, 8215, 8935, 10395, 10795, 9555, 8836, 8236, 7636, 6915, 5909, 7384, 8223, 9064, 10537,
    8829, 8229, 7629,
)  # fmt: skip
"""Nose, eyes and mouth (27-67). The three cuts of BFM number this part alike: their first vertices and triangles agree.
On the mean mesh the tip of the nose (8192) is the row that stands out most, 8204 the hollow below it, 8215 the lip's
fullest row, 8223 and 8229 the two sides of the slit."""
_OUTER_TRIMMED = (
    21873, 22149, 21653, 21036, 43236, 44918, 46166, 47135, 47914, 48695, 49667, 50924, 52613, 33678, 33005, 32469, 32709,
    38695, 39392, 39782, 39987, 40154, 40893, 41059, 41267, 41661, 42367,
)  # fmt: skip
"""Jaw and brows (0-26), after A. Bas's BFMLandmarks, counted from 0."""
_OUTER_FRONT = (
    16644, 16888, 16467, 16264, 32244, 32939, 33375, 33654, 33838, 34022, 34312, 34766, 35472, 27816, 27608, 27208, 27440,
    28111, 28787, 29177, 29382, 29549, 30288, 30454, 30662, 31056, 31716,
)  # fmt: skip
"""The same on the front: eight of the ten brow points are those above less 10,605, as if cut from one list."""

_TABLES: dict[str, dict[int, tuple[int, ...]]] = {
    "flame": {FLAME: _FLAME_68},
    "bfm": {
        BFM_FRONT: _OUTER_FRONT + _INNER_BFM,
        BFM_TRIMMED: _OUTER_TRIMMED + _INNER_BFM,
        BFM_NO_NECK: (-1,) * 27 + _INNER_BFM,
    },
}
NAMES = tuple(_TABLES)
"""Names of the families of topologies."""


def table(count: int) -> tuple[str, np.ndarray] | None:
    """The family of a mesh of `count` vertices, and the vertex (68,) of each Multi-PIE point, -1 where none is known."""
    for name, tables in _TABLES.items():
        if count in tables:
            return name, np.array(tables[count], np.int32)
    return None
