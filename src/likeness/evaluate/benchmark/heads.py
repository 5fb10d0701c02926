"""Random faces of the face model as heads to be photographed, with everything about them known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from likeness import color
from likeness.assets.builtin import Builtin
from likeness.assets.layout import Layout
from likeness.evaluate.benchmark import scene
from likeness.evaluate.benchmark.items import SIDES, TONES, YAWS, Item, Truth, bin_of, typology_angle
from likeness.evaluate.landmarks import OUTER_EYES_68
from likeness.evaluate.scans import LANDMARKS_OF_68, Scan
from likeness.geometry.cameras import project, to_camera
from likeness.geometry.mesh import triangulate
from likeness.geometry.rotation import from_euler
from likeness.types import Topology

SEEDS = {"val": 7001, "test": 7002}
"""Streams of random numbers that no training draws from."""
SHOTS = 2
"""Pictures of each person."""
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it modulo 1 are spread evenly from the first few on (Weyl): so are the skins over the people."""
MOVEMENTS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smiling": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.75, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "mouth open": {"jawOpen": 0.7, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    "eyes shut": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "pursed": {"mouthPucker": 0.8, "browInnerUp": 0.4},
    "one-sided": {"mouthLeft": 0.6, "browOuterUpRight": 0.7, "eyeSquintLeft": 0.6, "mouthDimpleLeft": 0.5},
}
"""Expressions by name, at their full strength; each picture takes one at 70 to 100 % and adds a little of others."""
COVERS = ("eyes", "mouth", "side")
RINGS = 10
"""Steps from the border of the face to the back of the head or down the neck."""
BACK, REACH = np.array([0.0, 25.0, -95.0]), 125.0
"""mm, model frame: the back of the head, where the surface behind the face comes together; and how far that surface goes on
in the face's direction before it turns there."""


@dataclass(frozen=True)
class Skin:
    """The colours of a person.

    Attributes:
        texture: (S, S, 3) float32 linear RGB albedo over the model's chart.
        name: Where it comes from.
    """

    texture: np.ndarray
    name: str


def tone_of(texture: np.ndarray, topology: Topology) -> float:
    """Individual typology angle in degrees of cheeks and forehead, from an albedo (S, S, 3) linear RGB over the chart."""
    rows = topology.regions["cheeks"] | topology.regions["forehead"]
    places = (topology.uv[rows] * texture.shape[0]).astype(int).clip(0, texture.shape[0] - 1)
    return typology_angle(texture[places[:, 1], places[:, 0]])


def painted_skin(topology: Topology, random: np.random.Generator, size: int = 256) -> Skin:
    """A skin made of nothing: a tone with spots, red lips, dark brows, and eyes. For runs without photos.

    The tone runs from dark to light as skin does: brightness of red from 0.12 to 0.65, green and blue by its powers.
    """
    import cv2

    red = math.exp(random.uniform(math.log(0.12), math.log(0.65)))
    tone = np.array([red, 0.82 * red**1.25, 0.68 * red**1.45])
    uv = (topology.uv * size).clip(0, size - 1)
    texture = np.broadcast_to(tone, (size, size, 3)).astype(np.float32)
    for cells, strength in ((6, 0.10), (24, 0.06), (size // 2, 0.05)):
        noise = random.standard_normal((cells, cells)).astype(np.float32)
        spots = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        texture = texture * np.exp(strength * spots)[..., None]

    def blend(mask: np.ndarray, colour: np.ndarray, share: float) -> None:
        nonlocal texture
        weight = np.zeros((size, size), np.float32)
        places = uv[mask].astype(int)
        weight[places[:, 1], places[:, 0]] = 1
        weight = cv2.GaussianBlur(cv2.dilate(weight, np.ones((7, 7))), (0, 0), 1.5)[..., None] * share
        texture = texture + weight * (np.asarray(colour, np.float32) - texture)

    regions = topology.regions
    blend(regions["upper_lip"] | regions["lower_lip"], tone * [0.95, 0.55, 0.6], 0.8)
    blend(regions["brow_left"] | regions["brow_right"], tone * 0.15, 0.8)
    bag, balls = np.zeros(len(uv), bool), np.zeros(len(uv), bool)
    for part, rows in topology.parts.items():
        (balls if part.startswith("eye") else bag)[rows] = part != "skin"
    blend(balls, [0.55, 0.52, 0.50], 1.0)
    blend(bag, [0.12, 0.03, 0.03], 1.0)
    irises = np.zeros(len(uv), bool)
    irises[topology.landmarks["dense"].vertices[468:478].ravel()] = True
    blend(irises, [0.06, 0.035, 0.02], 1.0)
    return Skin(texture.astype(np.float32), "painted")


@dataclass(frozen=True)
class Person:
    """Someone who does not exist.

    Attributes:
        identity: (100,) standard deviations.
        skin: Colours of the face.
        tone: Individual typology angle of the skin, degrees.
        hair, cloth: (3,) linear RGB.
        hairline: mm above the model's origin, from which the back of the head has hair.
        thickness: mm of hair.
    """

    identity: np.ndarray
    skin: Skin
    tone: float
    hair: np.ndarray
    cloth: np.ndarray
    hairline: float
    thickness: float


def draw_person(model: Builtin, skin: Skin, random: np.random.Generator) -> Person:
    """Identity from the model's own distribution; hair from black to grey and fair."""
    tone = random.uniform(0.004, 0.10) if random.random() < 0.7 else random.uniform(0.1, 0.5)
    hair = tone * np.array([1.0, random.uniform(0.6, 0.95), random.uniform(0.4, 0.95)])
    return Person(
        identity=random.standard_normal(len(model.identity)),
        skin=skin,
        tone=tone_of(skin.texture, model.topology("base")),
        hair=hair,
        cloth=np.exp(random.uniform(-4, -0.5, 3)),
        hairline=random.uniform(20, 70),
        thickness=random.choice([3.0, 9.0, 18.0]),
    )


def face_triangles(topology: Topology) -> np.ndarray:
    """(T, 3) triangles of the skin alone, without eyeballs and mouth bag."""
    return topology.triangles[(topology.triangles < topology.parts["skin"].stop).all(1)]


@cache
def outline(layout: Layout) -> np.ndarray:
    """(n,) base vertices of the face's outer border, in the order of its triangles' edges; the longest of all borders."""
    triangles = triangulate(layout.faces("base"))
    triangles = triangles[(triangles < layout.parts("base")["skin"].stop).all(1)]
    ways = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    taken = set(map(tuple, ways.tolist()))
    follow = {a: b for a, b in taken if (b, a) not in taken}
    loops = []
    while follow:
        loop = [next(iter(follow))]
        while (step := follow.pop(loop[-1])) != loop[0]:
            loop.append(step)
        loops.append(np.array(loop))
    return max(loops, key=len)


def whole_head(model: Builtin, vertices: np.ndarray, person: Person) -> scene.Surface:
    """The face with a simple back of the head, hair and neck behind its border, coloured.

    The face model ends at temples, forehead and throat. From every point of that border a curve goes on to the back of the
    head or down the neck; nothing of it is scored.

    Args:
        model: The face model.
        vertices: (V, 3) mm, the base level, with expression.
        person: Colours and hair.
    """
    topology = model.topology("base")
    border = outline(model.layout)
    start, rest = vertices[border], np.asarray(model.mean, np.float64)[border]
    low = np.clip((rest[:, 1] + 70) / 70, 0, 1)[:, None]
    high = low * low * (3 - 2 * low)  # 1 on the skull, 0 on the throat
    neck = np.stack([0.85 * rest[:, 0], np.full(len(rest), -215.0), rest[:, 2] - 45], 1)
    end = high * BACK + (1 - high) * neck
    crown = np.clip(rest[:, 1] / 95, -0.2, 1) * (1.15 - 0.6 * (rest[:, 0] / 75) ** 2)
    onwards = np.stack([0.2 * rest[:, 0] / 75, crown, -np.ones(len(rest))], 1)
    onwards = high * onwards + (1 - high) * np.array([0, -0.35, -1.0])
    reach = high * REACH + (1 - high) * 35
    bend = start + reach * onwards / np.linalg.norm(onwards, axis=1, keepdims=True)
    along = np.linspace(0, 1, RINGS + 1)[1:, None, None]
    behind = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end  # (RINGS, n, 3)
    line = person.hairline - 0.8 * np.clip(60 - behind[..., 2], 0, 110)  # runs behind the ears
    hairy = (1 / (1 + np.exp(np.clip((line - behind[..., 1]) / 3, -30, 30))))[..., None] * high
    outward = behind - np.array([0.0, 10.0, 10.0])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    behind += outward * hairy * person.thickness * np.minimum(1, 3 * along)
    below = np.clip((-150 - behind[..., 1:2]) / 8, 0, 1)
    places = (topology.uv[border] * person.skin.texture.shape[0]).astype(int).clip(0, person.skin.texture.shape[0] - 1)
    skin = person.skin.texture[places[:, 1], places[:, 0]]
    tone = np.median(person.skin.texture.reshape(-1, 3)[::97], 0)
    fade = np.minimum(1, 2 * along)
    colours = (1 - fade) * skin + fade * tone
    colours = colours + hairy * (person.hair - colours)
    colours = colours + below * (person.cloth - colours)
    rows = np.concatenate([border[None], len(vertices) + np.arange(RINGS * len(border)).reshape(RINGS, -1)])
    here, there = rows[:-1], rows[1:]
    following, beyond = np.roll(here, -1, 1), np.roll(there, -1, 1)
    strips = [np.stack([following, here, there], -1), np.stack([following, there, beyond], -1)]
    extra = np.concatenate([strip.reshape(-1, 3) for strip in strips])
    body, sides = shoulders()
    points = np.concatenate([vertices, behind.reshape(-1, 3), body])
    added = len(points) - len(vertices)
    cloth = np.broadcast_to(person.cloth, body.shape)
    return scene.Surface(
        vertices=points,
        triangles=np.concatenate([topology.triangles, extra, sides + len(points) - len(body)]).astype(np.int32),
        uv=np.concatenate([topology.uv, np.zeros((added, 2))]),
        colours=np.concatenate([np.zeros((len(vertices), 3)), colours.reshape(-1, 3), cloth]),
        textured=np.concatenate([np.ones(len(vertices)), np.zeros(added)]),
        texture=person.skin.texture,
    )


@cache
def shoulders() -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid below the neck: vertices (n, 3) mm, model frame, and triangles (t, 3)."""
    rows, columns = 12, 24
    polar = np.linspace(0, np.pi, rows)[:, None]
    around = np.arange(columns) * 2 * np.pi / columns
    unit = np.stack([np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], -1)
    place = np.arange(rows * columns).reshape(rows, columns)
    here, there = place[:-1], place[1:]
    following, beyond = np.roll(here, -1, 1), np.roll(there, -1, 1)
    halves = ((here, there, beyond), (here, beyond, following))
    triangles = np.concatenate([np.stack(half, -1).reshape(-1, 3) for half in halves])
    return unit.reshape(-1, 3) * [205.0, 95.0, 85.0] + [0.0, -255.0, -25.0], triangles


def truth_of(model: Builtin, identity: np.ndarray) -> Scan:
    """The neutral skin of an identity as a scan: what every method's shape is measured against."""
    topology = model.topology("base")
    vertices = np.asarray(model.decode(identity, np.zeros(len(model.expression))), np.float64)
    triangles = face_triangles(topology)
    used, compact = np.unique(triangles, return_inverse=True)
    marks = topology.landmarks["68"].points(vertices)[list(LANDMARKS_OF_68)]
    return Scan(vertices[used], compact.reshape(-1, 3), marks)


def draw_expression(model: Builtin, name: str, random: np.random.Generator) -> np.ndarray:
    """Weights (51,) of a named movement, with a little of three others."""
    row = {key: k for k, key in enumerate(model.expression_names)}
    weights = np.zeros(len(row))
    for place in random.choice(len(row), 3, replace=False):
        weights[place] = random.uniform(0, 0.15) if name != "neutral" else 0
    strength = random.uniform(0.7, 1.0)
    for key, value in MOVEMENTS[name].items():
        weights[row[key]] = strength * value
    weights[row["mouthClose"]] = min(weights[row["mouthClose"]], weights[row["jawOpen"]])
    return weights


@dataclass(frozen=True)
class Plan:
    """How a picture is taken, drawn before anything is rendered.

    Attributes:
        yaw, pitch, roll: Radians.
        movement: A key of `MOVEMENTS`.
        covered: One of `COVERS`, or "none".
        side: Size of the face, px; `distance` of the camera, mm; `size` of the picture, px.
        place: (2,) centre of the face, px.
    """

    yaw: float
    pitch: float
    roll: float
    movement: str
    covered: str
    side: float
    distance: float
    size: int
    place: np.ndarray


def draw_plan(number: int, random: np.random.Generator) -> Plan:
    """Half of the heads within 30 degrees, a third to 60, the rest to 80; every fourth covered; faces of 36 to 220 px."""
    turn = (0, 0, 0, 1, 1, 2)[number % 6]
    yaw = random.uniform(*((0, 30), (30, 60), (60, 80))[turn]) * random.choice([-1, 1])
    covered = COVERS[(number // 4) % 3] if number % 4 == 3 else "none"
    side = math.exp(random.uniform(*np.log([(110, 220), (64, 150), (36, 66)][(0, 0, 0, 1, 2)[number % 5]])))
    size = int(side * random.uniform(1.6, 2.3))
    free = max(0.0, size - 1.45 * side) / 2
    return Plan(
        yaw=math.radians(yaw),
        pitch=math.radians(np.clip(random.normal(0, 12), -30, 30)),
        roll=math.radians(np.clip(random.normal(0, 10), -30, 30)),
        movement=list(MOVEMENTS)[random.integers(len(MOVEMENTS))],
        covered=covered,
        side=side,
        distance=math.exp(random.uniform(math.log(280), math.log(2500))),
        size=size,
        place=size / 2 + random.uniform(-free, free, 2),
    )


def photograph(
    model: Builtin, person: Person, plan: Plan, background: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, scene.View]:
    """One picture of a person: (image uint8 sRGB, true 68 points and dense points in it, camera)."""
    vertices = np.asarray(model.decode(person.identity, draw_expression(model, plan.movement, random)), np.float64)
    topology = model.topology("base")
    rotation = from_euler(np.float64(plan.yaw), np.float64(plan.pitch), np.float64(plan.roll))
    skin = vertices[topology.parts["skin"]]
    view = scene.frame(skin, rotation, plan.distance, plan.side, plan.size, plan.place)
    image = scene.shoot(whole_head(model, vertices, person), view, scene.draw_lighting(random), background)
    points, dense = (project(topology.landmarks[name].points(vertices), view) for name in ("68", "dense"))
    if plan.covered != "none":
        image = scene.cover(image, points, plan.covered, random)
    return scene.expose(image, scene.draw_lens(random), random), points, dense, view


def eye_unit(points: np.ndarray, view: scene.View) -> float:
    """px that the outer eye corners of the 68 points (68, 3) mm would be apart if they faced the camera."""
    corners = points[list(OUTER_EYES_68)]
    depth = -to_camera(corners, view)[:, 2].mean()
    return float(np.linalg.norm(corners[0] - corners[1]) * view.focal / depth)


def items(
    model: Builtin,
    skins: Sequence[Skin],
    split: str,
    people: int,
    background: Callable[[int, np.random.Generator], np.ndarray],
) -> list[Item]:
    """Pictures of random people, `SHOTS` each; the same ones for the same split, skins and model.

    Args:
        model: The face model.
        skins: Albedos, sorted by tone; every few people have all tones.
        split: A key of `SEEDS`.
        people: How many.
        background: (side in px, random) -> uint8 (side, side, 3) without a face.
    """
    topology, found = model.topology("base"), []
    albedos = [color.encode(np.clip(skin.texture, 0, 1)) / np.float32(255) for skin in skins]
    for k in range(people):
        number = int(k * GOLDEN % 1 * len(skins))
        skin = skins[number]
        person = draw_person(model, skin, np.random.default_rng((SEEDS[split], k)))
        neutral = truth_of(model, person.identity)
        marks = topology.landmarks["68"].points(
            np.asarray(model.decode(person.identity, np.zeros(len(model.expression))))
        )
        for shot in range(SHOTS):
            random = np.random.default_rng((SEEDS[split], k, 1 + shot))
            plan = draw_plan(SHOTS * k + shot, random)
            image, points, dense, view = photograph(model, person, plan, background(plan.size, random), random)
            truth = Truth(neutral, points, dense, eye_unit(marks, view), view, albedos[number])
            slices = {
                "yaw": bin_of(abs(math.degrees(plan.yaw)), YAWS),
                "skin tone": bin_of(person.tone, TONES),
                "expression": plan.movement,
                "occlusion": plan.covered,
                "resolution": bin_of(plan.side, SIDES),
            }
            found.append(Item(f"heads-{k:03d}-{shot}", f"person {k}", lambda image=image: image, truth, slices))
    return found
