"""Small files in the layouts of other people's face models, written byte by byte where no library writes them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import h5py
import numpy as np


@dataclass(frozen=True)
class Parts:
    """A face to be written: (V, 3) mm mean, modes (K, V, 3) with orthonormal columns times deviations, triangles."""

    mean: np.ndarray
    basis: np.ndarray
    deviations: np.ndarray
    triangles: np.ndarray

    @property
    def modes(self):
        return (self.basis * self.deviations).T.reshape(len(self.deviations), -1, 3)

    def scaled(self, factor):
        """The same in another unit."""
        return Parts(self.mean * factor, self.basis, self.deviations * factor, self.triangles)


def face(vertices=12, modes=4, seed=0):
    """A face of no particular shape, 160 mm high."""
    random = np.random.default_rng(seed)
    mean = random.uniform(-1, 1, (vertices, 3)) * [60, 80, 50]
    mean[0], mean[1] = [0, 80, 0], [0, -80, 0]
    basis = np.linalg.qr(random.normal(size=(3 * vertices, modes)))[0]
    triangles = np.stack([random.permutation(vertices)[:3] for _ in range(7)])
    return Parts(mean, basis, np.linspace(9, 2, modes), triangles)


def colors(vertices=12, modes=3, seed=1):
    """Colours: mean in [0, 1] and modes, in the same form."""
    parts = face(vertices, modes, seed)
    return Parts(
        np.random.default_rng(seed).uniform(0.2, 0.9, (vertices, 3)),
        parts.basis,
        parts.deviations / 20,
        parts.triangles,
    )


def mat_element(code, content, order):
    """A tagged element of MAT v5, padded to eight bytes."""
    return struct.pack(order + "II", code, len(content)) + content + b"\0" * (-len(content) % 8)


def write_mat(path, arrays, order="<", dtype="f4", packed=False):
    """MAT v5, in any byte order: 128 bytes of header, then one matrix element each, perhaps deflated."""
    kinds = {"f4": (7, 7), "f8": (6, 9), "i4": (12, 5)}  # class of the array, type of its data
    body = b""
    for name, values in arrays.items():
        kind = "i4" if np.asarray(values).dtype.kind in "iu" else dtype
        values = np.asarray(values, order + kind)
        values = values[:, None] if values.ndim == 1 else values
        array_class, data_type = kinds[kind]
        matrix = mat_element(6, struct.pack(order + "II", array_class, 0), order)
        matrix += mat_element(5, struct.pack(order + "ii", *values.shape), order)
        matrix += mat_element(1, name.encode(), order) + mat_element(data_type, values.tobytes(order="F"), order)
        element = mat_element(14, matrix, order)
        if packed:
            squeezed = zlib.compress(element)
            element = struct.pack(order + "II", 15, len(squeezed)) + squeezed
        body += element
    header = b"MATLAB 5.0 MAT-file, a small test".ljust(124)
    path.write_bytes(header + struct.pack(order + "H", 0x0100) + (b"IM" if order == "<" else b"MI") + body)


def write_statismo(path, parts, minor=9, dtype="f4"):
    """HDF5 in scalismo's layout; before version 0.9 the columns of pcaBasis held their deviations."""
    with h5py.File(path, "w") as file:
        for name, part in parts.items():
            group = file.create_group(name)
            basis = part.basis * part.deviations if minor < 9 else part.basis
            group.create_dataset("model/mean", data=part.mean.ravel().astype(dtype))
            group.create_dataset("model/pcaBasis", data=basis.astype(dtype))
            group.create_dataset("model/pcaVariance", data=(part.deviations**2).astype(dtype))
            group.create_dataset("model/noiseVariance", data=np.zeros(1, dtype))
            group.create_dataset("representer/cells", data=part.triangles.T.astype(dtype.replace("f", "i")))
            group.create_dataset("representer/points", data=part.mean.T.astype(dtype))
            group.create_dataset("version/majorVersion", data=0)
            group.create_dataset("version/minorVersion", data=minor)
        file.create_dataset("catalog/MorphableModel.shape/modelPath", data="/shape")


def eigen(matrix):
    """An Eigen matrix in a cereal archive."""
    matrix = np.asarray(matrix, "<f4")
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    return struct.pack("<ii", *matrix.shape) + matrix.tobytes(order="F")


def table(values, dtype):
    """A std::vector of std::array in a cereal archive."""
    return struct.pack("<Q", len(values)) + np.asarray(values, dtype).tobytes()


def eos_pca(part):
    """A PCA model of eos; an empty one for None."""
    if part is None:
        return eigen(np.zeros((0, 1))) + eigen(np.zeros((0, 0))) + eigen(np.zeros((0, 1))) + table([], "<i4")
    return eigen(part.mean.ravel()) + eigen(part.basis) + eigen(part.deviations**2) + table(part.triangles, "<i4")


def eos_blendshapes(shapes):
    """A vector of named offsets."""
    body = struct.pack("<Q", len(shapes))
    for name, offsets in shapes.items():
        body += struct.pack("<Q", len(name)) + name.encode() + eigen(np.ravel(offsets))
    return body


def write_eos(path, shape, color=None, expression=b"\x01", version=4, landmarks=None):
    """A model of eos: `expression` is an optional as bytes (a one: nothing)."""
    body = struct.pack("<I", version) + eos_pca(shape) + eos_pca(color)
    if version >= 2:
        body += expression
    if version >= 3:
        body += b"\x01" if landmarks is None else b"\x00" + struct.pack("<Q", len(landmarks)) + b"".join(
            struct.pack("<Q", len(name)) + name.encode() + struct.pack("<i", vertex) for name, vertex in landmarks.items()
        )  # fmt: skip
    body += table(np.full((len(shape.mean), 2), 0.5), "<f8")
    if version >= 4:
        body += table(shape.triangles, "<i4")
    path.write_bytes(body)


def flame_arrays(parts, identity=3, joints=5, seed=2):
    """FLAME's arrays, metres: shape directions, of which the first are identity, and a rig of five joints."""
    vertices, random = len(parts.mean), np.random.default_rng(seed)
    regressor = random.uniform(0, 1, (joints, vertices))
    weights = random.uniform(0, 1, (vertices, joints))
    return {
        "v_template": parts.mean / 1000, "shapedirs": np.moveaxis(parts.modes, 0, -1) / 1000,
        "posedirs": random.normal(size=(vertices, 3, 9 * (joints - 1))) * 1e-3,
        "J_regressor": regressor / regressor.sum(1, keepdims=True), "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(joints)], np.uint32), "f": parts.triangles.astype(np.uint32),
    }  # fmt: skip


def gnm_arrays(parts, expressions=2):
    """GNM Head's arrays, metres."""
    modes = parts.modes / 1000
    return {
        "version": np.array("3.0"), "variant": np.array("head"), "template_vertex_positions": parts.mean / 1000,
        "vertex_identity_basis": modes[:-expressions], "expression_basis": modes[-expressions:],
        "expression_names": np.array([f"lower_face_region_{k}" for k in range(expressions)]),
        "quads": np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.int32), "triangles": parts.triangles,
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "template_joint_positions": np.array([[0, -0.1, -0.05], [0, 0, -0.03], [0.03, 0.04, 0.02], [-0.03, 0.04, 0.02]]),
    }  # fmt: skip
