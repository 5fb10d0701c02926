"""What ships, where it comes from and under which licence; and the outside models that can be read."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path

from likeness.errors import AssetError


@dataclass(frozen=True)
class Source:
    """A model or a set of photographs made by others.

    Attributes:
        name: As its makers call it.
        licence: Under which it is given.
        origin: Where it is published.
        digest: SHA-256 of the file that was read, in hexadecimal; empty for sets of files.
    """

    name: str
    licence: str
    origin: str
    digest: str = ""

    def check(self, path: Path) -> None:
        """Refuse a file that is not the one learned from.

        Raises:
            AssetError: If the file cannot be read or has another hash.
        """
        found = digest(path)
        if self.digest and found != self.digest:
            raise AssetError(f"{path} is another version of {self.name}: sha256 {found}, expected {self.digest}")


@dataclass(frozen=True)
class Readable:
    """A face model of others that can be read from a file the user has. None of it ships, nothing is learned from it.

    Attributes:
        name: As its makers call it.
        licence: Under which they give it; what is made from it is bound by it.
        origin: Where it is published.
        files: The files that are read.
        reader: Module below `likeness.assets`.
        commercial: Whether the licence allows commercial use.
    """

    name: str
    licence: str
    origin: str
    files: str
    reader: str
    commercial: bool = False


@dataclass(frozen=True)
class Shipped:
    """A file inside the package.

    Attributes:
        file: Path below the package `likeness`.
        what: One line on what it is for.
        licence: Under which it is given on.
        sources: Keys of `SOURCES` that it was learned from.
        command: The command that makes it, or where several are told.
    """

    file: str
    what: str
    licence: str
    sources: tuple[str, ...]
    command: str

    def path(self) -> Path:
        """Where it lies."""
        return Path(str(resources.files("likeness"))) / self.file


SOURCES: dict[str, Source] = {
    "ict": Source(
        "ICT Face Model Light", "MIT, Copyright (c) 2020 USC Institute for Creative Technologies",
        "https://github.com/USC-ICT/ICT-FaceKit",
        "c8000eec45422b0c65104d82e6ee1ba02e4d354511c280fcc77db64414b8674e",
    ),
    "mediapipe": Source(
        "MediaPipe canonical face model", "Apache-2.0, Copyright The MediaPipe Authors",
        "https://github.com/google-ai-edge/mediapipe",
        "8bac80443397e113f41a8b565ea72c59390bc031d9defab289dba7bc0c54e618",
    ),
    "sfhq": Source("SFHQ, AI-generated faces", "MIT", "https://github.com/SelfishGene/SFHQ-dataset"),
    "stylegan": Source("StyleGAN portraits, AI-generated", "MIT repository", "data folder photos/stylegan"),
    "gan": Source("AI-generated portraits", "no licence stated", "data folder photos/gan"),
    "officials": Source("Official portraits of US politicians", "MIT repository", "data folder photos/officials"),
    "scikit-image": Source("Sample pictures of scikit-image", "see its data/README", "https://scikit-image.org"),
}  # fmt: skip
"""What was learned from. Photographs are not redistributed; the ICT digest is of its archive form, not of a checkout."""
PHOTO_SETS = ("sfhq", "stylegan", "gan", "officials")
"""Photo sets from which weights that ship may be learned, all of them by default. `gan` states no licence."""

READABLE: dict[str, Readable] = {
    "ict": Readable(
        "ICT Face Model Light", SOURCES["ict"].licence, SOURCES["ict"].origin, "a checkout, or its .npz", "ict", True,
    ),
    "gnm": Readable(
        "GNM Head", "Apache-2.0, Copyright 2026 Google LLC", "https://github.com/google/GNM", "gnm_head.npz", "gnm", True,
    ),
    "bfm": Readable(
        "Basel Face Model 2009, 2017, 2019",
        "non-commercial research only, by agreement with the University of Basel; commercial use is sold",
        "https://faces.dmi.unibas.ch/bfm", "01_MorphableModel.mat, model2017-1_*.h5, model2019_*.h5", "bfm",
    ),
    "flame": Readable(
        "FLAME 2020, 2023",
        "non-commercial scientific research only, by the Max Planck Society's model licence; FLAME 2023 Open: CC-BY-4.0",
        "https://flame.is.tue.mpg.de", "generic_model.pkl, flame2023.pkl, or the same as .npz", "flame",
    ),
    "sfm": Readable(
        "Surrey Face Model", "non-commercial use only, under the licence of CVSSP, University of Surrey",
        "https://github.com/patrikhuber/eos", "sfm_shape_3448.bin, expression_blendshapes_3448.bin", "sfm",
    ),
    "albedomm": Readable(
        "AlbedoMM", "academic research only; its makers are to be asked for commercial use",
        "https://github.com/waps101/AlbedoMM", "albedoModel2020_bfm_albedoPart.h5, albedoModel2020_FLAME_albedoPart.npz",
        "albedomm",
    ),
    "texture": Readable(
        "FLAME's texture spaces", "non-commercial research only, as FLAME and the Basel Face Model",
        "https://flame.is.tue.mpg.de", "FLAME_texture.npz, FLAME_albedo_from_BFM.npz", "albedomm",
    ),
    "pca": Readable(
        "any linear model", "as the file says", "docs/face_models.md", ".npz with the names of likeness.assets.pca", "pca",
    ),
}  # fmt: skip
"""Outside face models with a reader of their own; `assets.readable` picks it."""

SHIPPED: dict[str, Shipped] = {
    "face model": Shipped(
        "assets/builtin.safetensors", "shape, expression, topology, regions", "Apache-2.0, with ICT's MIT notice",
        ("ict", "mediapipe", *PHOTO_SETS), "likeness build",
    ),
    "albedo model": Shipped(
        "assets/albedo.safetensors", "diffuse albedo of skin from photos; specular albedo, authored", "Apache-2.0",
        ("ict", "mediapipe", *PHOTO_SETS), "likeness train albedo",
    ),
    "dense landmarks": Shipped(
        "assets/correspondence.safetensors", "where 478 landmarks lie on the face", "Apache-2.0, with ICT's MIT notice",
        ("ict", "mediapipe", *PHOTO_SETS), "likeness train landmarks",
    ),
    "face finder": Shipped(
        "runtime/finder.onnx", "photo to boxes and roll", "Apache-2.0", (*PHOTO_SETS, "scikit-image"), "likeness train finder",
    ),
    "regressor": Shipped(
        "runtime/regressor.onnx", "crop to codes, pose and camera", "Apache-2.0", ("ict", "mediapipe", *PHOTO_SETS, "scikit-image"),
        "likeness train regressor",
    ),
    "skin colours": Shipped(
        "photos/skin.safetensors", "which colours are skin", "Apache-2.0", ("ict", "mediapipe", *PHOTO_SETS), "likeness train skin",
    ),
    "regressor's errors": Shipped(
        "fit/photo/regressor.safetensors", "how far the regressor's answers are off, on renders", "Apache-2.0",
        ("ict", *PHOTO_SETS, "scikit-image"), "likeness train trust",
    ),
    "landmark network": Shipped(
        "runtime/points.onnx", "crop to 478 landmarks and how sure each is", "Apache-2.0",
        ("ict", "mediapipe", *PHOTO_SETS, "scikit-image"), "likeness train points",
    ),
    "identity network": Shipped(
        "encoders/recognition/identity.safetensors", "crop to a vector that tells people apart, for losses", "Apache-2.0",
        ("ict", "mediapipe", *PHOTO_SETS, "scikit-image"), "likeness train identity",
    ),
    "base decoder": Shipped(
        "runtime/decoder-base.onnx", "codes to vertices, normals and pixels", "Apache-2.0", ("ict",),
        "likeness train decoder",
    ),
    "dense decoder": Shipped(
        "runtime/decoder-dense.onnx", "the same at the dense level", "Apache-2.0", ("ict",), "likeness train decoder",
    ),
    "Genova et al. 2018": Shipped(
        "runtime/systems/genova2018.onnx", "the paper's system (--system genova2018): aligned crop to shape and albedo of a face at rest",
        "Apache-2.0, with ICT's MIT notice", ("ict", "mediapipe", *PHOTO_SETS, "scikit-image"), "likeness train genova2018 --export FILE",
    ),
    "Tewari et al. 2018": Shipped(
        "runtime/systems/tewari2018.onnx", "the paper's system (--system tewari2018): crop to two levels of a face, pose and light",
        "Apache-2.0, with ICT's MIT notice", ("ict", "mediapipe", *PHOTO_SETS, "scikit-image"),
        "three runs of likeness train tewari2018, see docs/results/tewari2018.md",
    ),
}  # fmt: skip
"""Every file of numbers in the package. The face model's photographs decide only where its dense landmarks lie."""


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal.

    Raises:
        AssetError: If it cannot be read.
    """
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise AssetError(f"cannot read {path}: {error.strerror}") from error
