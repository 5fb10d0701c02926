"""What comes of several photos of one person: one face with one texture, how well each region is known, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from likeness import color
from likeness.assets.builtin import Builtin
from likeness.export import codes as code_files
from likeness.export import environment, gltf, obj
from likeness.export.asset import Asset, from_builtin
from likeness.export.documents import number
from likeness.export.textures import to_jpeg, to_png
from likeness.fit.people.together import STRANGER, Person, Portrait
from likeness.fit.photo.observe import observe
from likeness.geometry.cameras import project
from likeness.photos.crop import crop
from likeness.photos.detect import Detection
from likeness.runtime.blend import Blend, blend
from likeness.runtime.confidence import Region, advice, assess, shape_deviation
from likeness.runtime.overlay import draw
from likeness.runtime.reconstruct import FORMATS, TEXTURE_SIZE, check_formats
from likeness.runtime.unwrap import see
from likeness.types import Landmarks, Light, Topology, View

FORMAT, VERSION = "likeness.confidence", 1
"""What confidence.json calls itself; the version grows when a field changes its meaning."""
PERSON_FILES = ("face.glb", "face.obj", "face.mtl", "face.jpg", "face.json", "confidence.json", "albedo.png")
"""Names of the files of a person."""
PHOTO_FILES = ("overlay.png", "face.json", "light.png", "light.hdr")
"""Names of the files of each of the person's photos."""


@dataclass(frozen=True)
class Album:
    """A person in 3D, from n photos.

    Attributes:
        person: Codes and cameras.
        model: The face model of the codes.
        level: "base" or "dense".
        vertices: n arrays (V, 3) mm, posed as in each photo.
        neutral: (V, 3) mm, without expression.
        blend: The texture from all photos.
        regions: How well each region is known.
        albedo: (s, s, 3) linear RGB diffuse albedo of the person over the chart, of the albedo model; None where pixels were
            not compared.
    """

    person: Person
    model: Builtin
    level: str
    vertices: tuple[np.ndarray, ...]
    neutral: np.ndarray
    blend: Blend
    regions: tuple[Region, ...]
    albedo: np.ndarray | None = None

    @property
    def topology(self) -> Topology:
        """Connectivity, chart, regions and landmark sets of the vertices."""
        return self.model.topology(self.level)

    @property
    def texture(self) -> np.ndarray:
        """(S, S, 3) uint8 sRGB over the chart."""
        return self.blend.texture

    @property
    def advice(self) -> tuple[str, ...]:
        """Which photos would help, a line each; left and right are the person's."""
        return advice(self.regions)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each photo that was left out because it does not agree with the others."""
        names = [portrait.name for portrait in self.person.portraits]
        lines = [
            f"{portrait.name}: left out, because it seems to show another person than the other {len(names)} photos"
            for portrait, _ in self.person.strangers
        ]
        if len(names) == 2 and self.person.alike.min() < STRANGER:
            lines.append(
                f"{names[0]} and {names[1]} seem to show two persons; give a third photo to tell which is the other"
            )
        return tuple(lines)

    def asset(self, photo: int = 0) -> Asset:
        """What exporters write: the neutral person, the movements, and a photo's expression as weights."""
        name = Path(self.person.portraits[photo].name).stem or "face"
        extras = {"photos": [portrait.name for portrait in self.person.portraits]}
        codes = self.person.identity, self.person.expression[photo]
        return from_builtin(self.model, *codes, self.level, to_jpeg(self.texture), name, extras)

    def record(self, photo: int) -> code_files.FaceFile:
        """What face.json holds of a photo: the person's identity, and the photo's expression and camera."""
        portrait, view = self.person.portraits[photo], self.person.views[photo]
        cut = crop(portrait.image, portrait.face.box, portrait.face.roll)
        sets = self.topology.landmarks
        codes = {"identity": self.person.identity, "expression": self.person.expression[photo]}
        return code_files.FaceFile(
            codes=codes if self.person.albedo is None else codes | {"albedo": self.person.albedo},
            view=view,
            photo=portrait.name,
            photo_from_crop=cut.photo_from_crop,
            crop_pixels=cut.image.shape[0],
            box=portrait.face.box,
            roll=portrait.face.roll,
            score=portrait.face.score,
            landmarks={name: project(places.points(self.vertices[photo]), view) for name, places in sets.items()},
            model={"name": "likeness-builtin", "level": self.level, "vertices": len(self.neutral)},
            licences=(self.model.licence,) if self.model.licence else (),
        )

    def confidence(self, skipped: Sequence[tuple[str, str]] = (), folders: Mapping[str, str] | None = None) -> bytes:
        """The text of confidence.json: regions, advice, and what became of each photo.

        Args:
            skipped: Name and reason of photos that could not be used.
            folders: Folder of results by name of the photo.
        """
        person = self.person
        used = [
            {"photo": portrait.name, "folder": (folders or {}).get(portrait.name), "alike_nats": number(alike, 3),
             "landmark_error_percent": number(100 * error, 3), "pixels_per_mm": number(resolution, 3)}
            for portrait, alike, error, resolution in zip(person.portraits, person.alike, person.error, self.blend.resolution)
        ]  # fmt: skip
        document = {
            "format": FORMAT, "version": VERSION, "photos": used,
            "left_out": [{"photo": p.name, "alike_nats": number(nats, 3)} for p, nats in person.strangers],
            "skipped": [{"photo": name, "reason": reason} for name, reason in skipped],
            "warnings": list(self.warnings), "advice": list(self.advice),
            "regions": {
                region.name: {key: number(value, 3) for key, value in asdict(region).items() if key != "name"}
                for region in self.regions
            },
        }  # fmt: skip
        return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

    def files(self, formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
        """The person's files by name, without confidence.json.

        Raises:
            UsageError: When a format is not known.
        """
        check_formats(formats)
        asset = self.asset() if {"glb", "obj"} & set(formats) else None
        result = {"face.glb": gltf.to_bytes(asset)} if "glb" in formats else {}
        result |= obj.to_files(asset, "face") if "obj" in formats else {}
        result |= {} if self.albedo is None else {"albedo.png": to_png(color.encode(self.albedo))}
        return result | ({"face.json": code_files.to_bytes(self.record(0))} if "json" in formats else {})

    def photo_files(self, photo: int, formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
        """A photo's files by name."""
        result = {"face.json": code_files.to_bytes(self.record(photo))} if "json" in formats else {}
        if "overlay" in formats:
            portrait = self.person.portraits[photo]
            picture = draw(portrait.image, self.vertices[photo], self.person.views[photo], self.topology)
            result["overlay.png"] = to_png(picture)
        if self.person.light is not None:
            light = Light(self.person.light[photo])
            result["light.png"] = to_png(environment.tone_mapped(environment.irradiance(light))[0])
            result["light.hdr"] = environment.to_hdr(environment.radiance(light))
        return result


def album(
    person: Person, model: Builtin, level: str, decode: Callable[[Mapping[str, np.ndarray], View], Any],
    size: int = TEXTURE_SIZE, paint: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Album:  # fmt: skip
    """Pose a person as in each photo, blend the texture, and judge how well each region is known.

    Args:
        person: What the photos say.
        model: The face model of the codes.
        level: "base" or "dense".
        decode: (codes, view) -> something with posed `vertices` (V, 3) mm at that level.
        size: Texels along a side of the texture.
        paint: Code of an albedo -> (s, s, 3) linear RGB over the chart.
    """
    topology = model.topology(level)

    def posed(expression: np.ndarray, view: View) -> np.ndarray:
        return np.asarray(decode({"identity": person.identity, "expression": expression}, view).vertices, np.float64)

    vertices = tuple(posed(weights, view) for weights, view in zip(person.expression, person.views))
    neutral = posed(np.zeros_like(person.expression[0]), person.views[0])

    def looker(i: int):
        return lambda: see(person.portraits[i].image, vertices[i], person.views[i], topology, size)

    joined = blend([looker(i) for i in range(len(vertices))], topology, frontal(person))
    modes = model.identity if level == "base" else model.refine(model.identity)
    deviation = shape_deviation(neutral, modes, person.covariance)
    regions = assess(joined, neutral, topology, deviation)
    albedo = None if person.albedo is None or paint is None else paint(person.albedo)
    return Album(person, model, level, vertices, neutral, joined, regions, albedo)


def frontal(person: Person) -> int:
    """The photo whose light, eyes and mouth the texture shows: looking into the camera, large, and agreed with."""

    def worth(i: int) -> float:
        view = person.views[i]
        towards = float(np.asarray(view.rotation)[2, 2])
        return max(towards, 0) ** 2 * min(float(view.focal) / -float(view.translation[2]), 2.0)

    return max(range(len(person.views)), key=worth)


def candidates(
    name: str, image: np.ndarray, faces: Sequence[Detection], encode: Callable[[np.ndarray, Detection], Any], model: Builtin,
    measure: Callable[[np.ndarray, Detection], Landmarks] | None,
) -> list[Portrait]:  # fmt: skip
    """The faces of a photo as portraits; arguments are those of `fit.photo.observe.observe`."""
    return [Portrait(name, image, face, observe(image, face, encode, model, measure)) for face in faces]
