"""Scenes for the face finder: photos with landmarks, composed at random place, scale and roll, with exact boxes.

What is pasted is either a whole photo or a head with a feathered mask; patches without a face are pasted with the same
masks, so that a seam says nothing. Item i of a data set depends on (seed, i) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from likeness.data import backgrounds, faceless
from likeness.data.degrade import degrade, recolor
from likeness.data.portraits import Draw, Portrait
from likeness.photos.detect import SIDE, SMALLEST, STRIDE, UNIT

LARGEST_ROLL = math.radians(65)
"""Heads are drawn up to this roll; more is another problem (a photo that lies on its side)."""


@dataclass(frozen=True)
class Mix:
    """What kinds of scenes are composed, and how.

    Attributes:
        size: Side of the scenes in pixels.
        smallest: Side in pixels of the smallest face to ask for; smaller ones are doubtful.
        tilted: Share of heads with any roll up to the steepest; the others are nearly upright.
        tight: Share of the single portraits that leave little but the face.
        clutter: Share of the backgrounds made of many small photos without their faces.
        seen: Share of a face's area that must be visible for it to be asked for.
        steepest: Largest roll of the tilted heads, radians.
        empty: Share of the scenes without a face.
        decoys: Largest number of faceless patches pasted into a group's scene before its heads.
        odd: Share of backgrounds and of patches that are dead leaves or shuffled photos (see `data.faceless`).
        pictures: Which of scikit-image's pictures may lie in the background.
    """

    size: int = SIDE
    smallest: float = SMALLEST
    tilted: float = 0.33
    tight: float = 0.0
    clutter: float = 0.0
    seen: float = 0.55
    steepest: float = math.pi / 4
    empty: float = 0.14
    decoys: int = 4
    odd: float = 0.0
    pictures: tuple[str, ...] = backgrounds.TRAINING


@dataclass(frozen=True)
class Scene:
    """A composed picture.

    Attributes:
        image: (S, S, 3) uint8 sRGB.
        boxes: (n, 4) centre x, centre y, side in pixels, roll in radians.
        doubtful: (m, 4) the same of faces that are too small or too hidden to ask for or to forbid.
    """

    image: np.ndarray
    boxes: np.ndarray
    doubtful: np.ndarray


class Scenes:
    """Training data of the finder: item i is a degraded scene and the maps that the network should answer.

    Keys: image (S, S, 3) uint8, score (h, w) in [0, 1], geometry (5, h, w), its weight (h, w), valid (h, w).
    """

    def __init__(self, draw: Draw, seed: int, length: int, mix: Mix) -> None:
        self.draw, self.seed, self.length, self.mix = draw, seed, length, mix

    def __len__(self) -> int:
        return self.length

    def scene(self, i: int) -> Scene:
        """The picture and boxes of item i."""
        return compose(self.draw, np.random.default_rng((self.seed, i)), self.mix)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        scene = self.scene(i)
        return {"image": scene.image, **maps(scene, self.mix.size)}


def compose(draw: Draw, random: np.random.Generator, mix: Mix) -> Scene:
    """A scene of one of four kinds: one large portrait, a sheet of photos, a group over a background, no face."""
    kind = random.random()
    canvas = _Canvas(faceless.ground(draw, random, mix.size, mix.pictures, mix.clutter, mix.odd), mix)
    if kind < 0.34:
        _single(canvas, draw, random)
    elif kind < 0.44:
        _sheet(canvas, draw, random)
    else:
        empty = kind > 1 - mix.empty
        for _ in range(random.integers(0, mix.decoys + 1)):
            _decoy(canvas, draw, random)
        for _ in range(0 if empty else 1 + min(7, random.geometric(0.35))):
            _head(canvas, draw, random)
        if empty or random.random() < 0.3:
            _decoy(canvas, draw, random)
    if random.random() < 0.2:
        _occlude(canvas, random)
    if random.random() < 0.1:  # black bars, as around a picture that does not fill its frame
        edge = int(mix.size * random.uniform(0.55, 0.95))
        (canvas.image[edge:] if random.random() < 0.5 else canvas.image[:, edge:])[:] = 0
        canvas.mark_hidden()
    image = degrade(canvas.image, random)
    boxes, doubtful = canvas.boxes()
    return Scene(np.ascontiguousarray(image), boxes, doubtful)


def negative(draw: Draw, random: np.random.Generator, mix: Mix) -> np.ndarray:
    """A degraded picture without a face, half of them with pasted patches; uint8 (size, size, 3)."""
    canvas = _Canvas(faceless.ground(draw, random, mix.size, mix.pictures, mix.clutter, mix.odd), mix)
    if random.random() < 0.5:
        for _ in range(random.integers(1, 5)):
            _decoy(canvas, draw, random)
    return np.ascontiguousarray(degrade(canvas.image, random))


class _Canvas:
    """A picture under construction, with the faces on it and a map of who covers what."""

    def __init__(self, image: np.ndarray, mix: Mix) -> None:
        self.image, self.mix, self.size = image, mix, image.shape[0]
        self.faces: list[tuple[float, float, float, float]] = []
        self.owner = np.zeros(image.shape[:2], np.int16)  # 0 nobody, k face k - 1, -1 something without a face
        self._areas: list[float] = []

    def paste(self, placed: _Placed, mask: np.ndarray, is_face: bool) -> None:
        """Blend a placed photo by a mask (h, w) in [0, 1] over its window."""
        (height, width), (x, y) = mask.shape, placed.corner
        here = np.s_[y : y + height, x : x + width]
        under = self.image[here]
        self.image[here] = under + (placed.layer.astype(np.float32) - under) * mask[..., None]
        self.owner[here][mask > 0.5] = -1
        if is_face:
            self.faces.append(placed.face)
            shape = np.zeros(mask.shape, np.uint8)
            cv2.fillConvexPoly(shape, np.rint(placed.outline - placed.corner).astype(np.int32), 1)
            self.owner[here][(shape > 0) & (mask > 0.5)] = len(self.faces)
            self._areas.append(max(float(cv2.contourArea(placed.outline.astype(np.float32))), 1.0))

    def cover(self, layer: np.ndarray, mask: np.ndarray) -> None:
        """Put something without a face, (S, S, 3), where a mask (S, S) in [0, 1] says."""
        self.image = (self.image + (layer.astype(np.float32) - self.image) * mask[..., None]).astype(np.uint8)
        self.owner[mask > 0.5] = -1

    def mark_hidden(self) -> None:
        """Black pixels hide what was there."""
        self.owner[self.image.max(2) == 0] = -1

    def boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Faces to ask for, and doubtful ones: smaller than the smallest, or hidden, or cut by the border by half."""
        sure, doubtful = [], []
        for k, face in enumerate(self.faces):
            seen = float((self.owner == k + 1).sum()) / self._areas[k]
            inside = 0 <= face[0] < self.size and 0 <= face[1] < self.size
            if seen > self.mix.seen and inside and face[2] >= 0.9 * self.mix.smallest:
                sure.append(face)
            elif seen > 0.08 or face[2] < 0.9 * self.mix.smallest:
                doubtful.append(face)
        return np.array(sure, np.float32).reshape(-1, 4), np.array(doubtful, np.float32).reshape(-1, 4)


@dataclass(frozen=True)
class _Placed:
    """A portrait put into a scene: its photo warped into the window at `corner`, and where its face is.

    Attributes:
        layer: (h, w, 3) uint8 pixels of the window; `inside` (h, w) in [0, 1] says where the photo has pixels.
        corner: (x, y) of the window in the scene.
        face: Centre x, y, side, roll in the scene.
        outline: (n, 2) of the face in the scene.
    """

    layer: np.ndarray
    inside: np.ndarray
    corner: tuple[int, int]
    face: tuple[float, float, float, float]
    outline: np.ndarray


def place(
    portrait: Portrait, photo: np.ndarray, face: tuple[float, float, float, float], mirror: bool, size: int
) -> _Placed:
    """Warp a photo so that its face gets the given centre, side and roll in a scene of `size` pixels.

    With `mirror` the photo is mirrored first. Small faces are first reduced by area, or they would alias.
    """
    center, roll, outline = portrait.center, portrait.roll, portrait.outline
    if mirror:
        flip = np.array([-1.0, 1.0])
        photo, roll = photo[:, ::-1], -roll
        center, outline = ([photo.shape[1], 0] + flip * p for p in (center, outline))
    scale, turn = face[2] / portrait.side, face[3] - roll
    if scale < 0.6:
        small = [max(8, round(n * scale * 1.3)) for n in photo.shape[:2]]
        stretch = np.array([small[1] / photo.shape[1], small[0] / photo.shape[0]])
        photo = cv2.resize(np.ascontiguousarray(photo), (small[1], small[0]), interpolation=cv2.INTER_AREA)
    else:
        stretch = np.ones(2)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shift = np.array(face[:2]) - linear @ center
    height, width = photo.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) / stretch @ linear.T + shift
    low = np.clip(np.floor(corners.min(0)), 0, size - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)), low + 1, size).astype(int)
    # OpenCV puts the centre of the first pixel at 0, we at 0.5.
    matrix = linear / stretch
    offset = shift - low + matrix @ [0.5, 0.5] - 0.5
    affine = np.column_stack([matrix, offset])
    window, photo = tuple(int(n) for n in high - low), np.ascontiguousarray(photo)
    layer = cv2.warpAffine(photo, affine, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones((height, width), np.float32), affine, window, flags=cv2.INTER_LINEAR)
    return _Placed(layer, inside, (int(low[0]), int(low[1])), face, outline @ linear.T + shift)


def head_mask(placed: _Placed, random: np.random.Generator) -> np.ndarray:
    """A feathered mask (h, w) of the whole head: the face's outline, enlarged to hair, sometimes to shoulders."""
    x, y, side, roll = placed.face
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = (placed.outline - [x, y]) @ turn
    below = random.uniform(1.1, 1.4) if random.random() < 0.7 else random.uniform(1.5, 3.0)
    growth = [random.uniform(1.2, 1.6), random.uniform(1.3, 1.9)], [random.uniform(1.15, 1.5), below]
    upright = upright * np.where(upright[:, 1:] < 0, *growth)
    grown = upright @ turn.T + [x, y] - placed.corner
    mask = np.zeros(placed.inside.shape, np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(grown).astype(np.int32)), 1.0)
    return _feather(np.minimum(mask, placed.inside), side, random)


def _feather(mask: np.ndarray, side: float, random: np.random.Generator) -> np.ndarray:
    """Soften a mask's edge inwards, from almost hard to a tenth of the face."""
    width = 2 * int(side * random.uniform(0.005, 0.1)) + 1
    if width == 1:
        return mask
    soft = cv2.blur(cv2.blur(mask, (width, width)), (width, width))
    return np.clip(2 * soft - 1, 0, 1)


def _random_face(canvas: _Canvas, random: np.random.Generator) -> tuple[float, float, float, float]:
    """Place, side and roll of a face somewhere in a scene."""
    size = canvas.size
    side = math.exp(random.uniform(math.log(0.85 * canvas.mix.smallest), math.log(0.55 * size)))
    low, high = (-0.05, 1.05) if random.random() < 0.25 else (0.1, 0.9)
    x, y = random.uniform(low * size, high * size, 2)
    return float(x), float(y), side, _roll(canvas.mix, random)


def _roll(mix: Mix, random: np.random.Generator) -> float:
    """Mostly nearly upright; a share of anything up to the steepest roll."""
    steep = random.random() < mix.tilted
    roll = random.uniform(-mix.steepest, mix.steepest) if steep else random.normal(0, 0.2)
    return float(np.clip(roll, -LARGEST_ROLL, LARGEST_ROLL))


def _single(canvas: _Canvas, draw: Draw, random: np.random.Generator) -> None:
    """One portrait that fills the picture: as it is, closer, or from farther away."""
    portrait, photo = draw(random)
    size, mirror, kind = canvas.size, random.random() < 0.5, random.random()
    if canvas.mix.tight and random.random() < canvas.mix.tight:
        at = 0.5 * size + random.normal(0, 0.06, 2) * size
        face = (float(at[0]), float(at[1]), size * random.uniform(0.85, 1.35), float(random.normal(0, 0.15)))
    elif kind < 0.35:
        fit = size / max(photo.shape[:2])
        side, at = portrait.side * fit, portrait.center * fit
        at = np.array([size - at[0] if mirror else at[0], at[1]])
        face = (
            *(at + random.normal(0, 0.02 * size, 2)),
            side * random.uniform(0.95, 1.05),
            (-portrait.roll if mirror else portrait.roll) + random.normal(0, 0.05),
        )
    else:
        side = size * math.exp(random.uniform(math.log(0.25), math.log(1.25)))
        at = 0.5 * size + random.normal(0, 0.1 if side > 0.6 * size else 0.2, 2) * size
        face = (float(at[0]), float(at[1]), side, _roll(canvas.mix, random))
    placed = place(portrait, photo, face, mirror, size)
    # Beyond the photo: its background, or its border pixels drawn out.
    mask = placed.inside if random.random() < 0.5 else np.ones_like(placed.inside)
    canvas.paste(placed, mask, is_face=True)


def _sheet(canvas: _Canvas, draw: Draw, random: np.random.Generator) -> None:
    """Photos side by side, as on a contact sheet or in a video call."""
    size, columns, rows = canvas.size, int(random.integers(1, 5)), int(random.integers(1, 4))
    cell = size / max(columns, rows)
    shift = random.uniform(-0.15, 0.3, 2) * cell
    for row in range(rows):
        for column in range(columns):
            if random.random() < 0.12:
                continue
            portrait, photo = draw(random)
            fit = cell / max(photo.shape[:2]) * random.uniform(0.85, 1.0)
            at = portrait.center * fit + np.array([column, row]) * cell + shift
            face = (float(at[0]), float(at[1]), portrait.side * fit, portrait.roll)
            placed = place(portrait, photo, face, False, size)
            canvas.paste(placed, (placed.inside > 0.5).astype(np.float32), is_face=True)


def _head(canvas: _Canvas, draw: Draw, random: np.random.Generator) -> None:
    """One more head in a group; sometimes a whole photo."""
    portrait, photo = draw(random)
    _lay(canvas, portrait, photo, _random_face(canvas, random), random, is_face=True)


def _decoy(canvas: _Canvas, draw: Draw, random: np.random.Generator) -> None:
    """A patch without a face, with the outline, the feather and the place of one."""
    portrait, photo = draw(random)
    face = _random_face(canvas, random)
    photo = faceless.patch(portrait, photo, random, canvas.mix.pictures, canvas.mix.odd)
    _lay(canvas, portrait, photo, face, random, is_face=False)


def _lay(
    canvas: _Canvas, portrait: Portrait, photo: np.ndarray, face: tuple[float, float, float, float],
    random: np.random.Generator, is_face: bool,
) -> None:  # fmt: skip
    """A head of a photo at a face's place, perhaps recoloured, mirrored, or with all of the photo around it."""
    if random.random() < 0.5:
        photo = recolor(photo, random)
    placed = place(portrait, photo, face, random.random() < 0.5, canvas.size)
    mask = placed.inside if random.random() < 0.2 else head_mask(placed, random)
    canvas.paste(placed, mask, is_face=is_face)


def _occlude(canvas: _Canvas, random: np.random.Generator) -> None:
    """Something in front of a face: a bar, a disc or a corner, of one colour or with a texture."""
    if not canvas.faces:
        return
    x, y, side, _ = canvas.faces[random.integers(len(canvas.faces))]
    size = canvas.size
    mask = np.zeros((size, size), np.float32)
    center = np.array([x, y]) + random.normal(0, 0.45, 2) * side
    axes = np.maximum(1, np.abs(random.normal(0.25, 0.15, 2)) * side)
    if random.random() < 0.5:
        cv2.ellipse(mask, (tuple(center), tuple(2 * axes), random.uniform(0, 180)), 1.0, -1)
    else:
        corners = cv2.boxPoints((tuple(center), tuple(2 * axes), random.uniform(0, 180)))
        cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1.0)
    plain = np.broadcast_to(backgrounds.color(random), (size, size, 3))
    layer = plain if random.random() < 0.4 else backgrounds.background(size, random, canvas.mix.pictures)
    canvas.cover(layer, mask)


def maps(scene: Scene, size: int) -> dict[str, np.ndarray]:
    """What the network should answer to a scene, on the grid of `STRIDE` pixels (see `Scenes`).

    The score is a Gaussian around each centre as wide as the face allows (Zhou et al. 2019, section 3), one at the
    centre's own cell; the geometry counts in a neighbourhood of the centre, twice as wide.
    """
    cells = size // STRIDE
    score, weight = np.zeros((cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    geometry, valid = np.zeros((5, cells, cells), np.float32), np.ones((cells, cells), np.float32)
    middle = np.arange(cells, dtype=np.float32) + 0.5
    for x, y, side, _ in scene.doubtful:
        reach = np.maximum(0.35 * side / STRIDE, 1.5)
        valid[np.ix_(np.abs(middle - y / STRIDE) < reach, np.abs(middle - x / STRIDE) < reach)] = 0
    for x, y, side, roll in scene.boxes:
        column, row = min(int(x / STRIDE), cells - 1), min(int(y / STRIDE), cells - 1)
        squared = (middle[:, None] - row - 0.5) ** 2 + (middle - column - 0.5) ** 2
        sigma = max(0.6, 0.06 * side / STRIDE)
        peak = np.exp(-squared / (2 * sigma**2))
        valid[peak > 0.3] = 1
        score = np.maximum(score, peak)
        near = np.exp(-squared / (8 * sigma**2))
        wins = (near > 0.15) & (near > weight)
        weight[wins] = near[wins]
        dx, dy = x / STRIDE - middle, y / STRIDE - middle
        values = np.broadcast_arrays(dx[None, :], dy[:, None], math.log(side / UNIT), math.cos(roll), math.sin(roll))
        geometry[:, wins] = np.stack(values)[:, wins]
    return {"score": score, "geometry": geometry, "weight": weight, "valid": valid}
