"""Mesh and landmark files: what is read, and what is refused with which words."""

import struct

import numpy as np
import pytest

from likeness.errors import AssetError
from likeness.evaluate.meshes import checked, find, read, read_points, unit_of

QUAD = np.array([[0, 0, 0], [200.0, 0, 0], [200, 150, 20.5], [0, 150, 0]])
FAN = np.array([[0, 1, 2], [0, 2, 3]])


def write_obj(path, vertices, triangles):
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles]
    path.write_text("\n".join(lines) + "\n")


def test_obj_with_quads_charts_normals_colours_and_negative_indices(tmp_path):
    (tmp_path / "a.obj").write_text(
        "# x\r\nmtllib no.mtl\nv 0 0 0 1 0 0\nv 200 0 0 0 1 0\nv 200 150 20.5 0 0 1\nv 0 150 0 1 1 1\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\ng skin\nf 1/1/1 2/2/1 -2/3/1 -1/4/1\n"
    )
    mesh = read(tmp_path / "a.obj", unit="mm")
    np.testing.assert_array_equal(mesh.vertices, QUAD)
    np.testing.assert_array_equal(mesh.triangles, FAN)
    np.testing.assert_array_equal(mesh.colors[:3], np.eye(3))
    np.testing.assert_array_equal(mesh.uv[1], [[0, 0], [1, 1], [0, 1]])


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("mixed", [False, True])
def test_ply(tmp_path, order, mixed):
    faces = [[0, 1, 2, 3]] if mixed else FAN.tolist()
    faces = [*faces, [0, 1, 3]] if mixed else faces
    header = (
        f"ply\nformat {order} 1.0\ncomment made by hand\nelement vertex 4\nproperty float x\nproperty float y\n"
        f"property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nelement face {len(faces)}\n"
        "property list uchar int vertex_indices\nproperty float quality\nend_header\n"
    ).encode()
    if order == "ascii":
        rows = ["{} {} {} 10 20 30".format(*row) for row in QUAD]
        rows += [" ".join(map(str, [len(f), *f, 0.5])) for f in faces]
        body = "\n".join(rows).encode()
    else:
        sign = "<" if "little" in order else ">"
        body = b"".join(struct.pack(sign + "fffBBB", *row, 10, 20, 30) for row in QUAD)
        body += b"".join(struct.pack(f"{sign}B{len(f)}if", len(f), *f, 0.5) for f in faces)
    (tmp_path / "a.ply").write_bytes(header + body)
    mesh = read(tmp_path / "a.ply", unit="mm")
    np.testing.assert_allclose(mesh.vertices, QUAD)
    np.testing.assert_array_equal(mesh.triangles, [*FAN, [0, 1, 3]] if mixed else FAN)
    np.testing.assert_array_equal(mesh.colors[2], [10, 20, 30])


def test_numpy_and_vrml_files(tmp_path):
    np.savez(tmp_path / "a.npz", v=QUAD, f=FAN)
    np.save(tmp_path / "b.npy", QUAD)
    (tmp_path / "c.wrl").write_text(
        "#VRML V2.0 utf8\nShape { geometry IndexedFaceSet { coord Coordinate { point [ 0 0 0, 200 0 0,\n"
        "200 150 20.5, 0 150 0, ] } coordIndex [ 0, 1, 2, -1, 0, 2, 3, -1, ] } }"
    )
    for name in ("a.npz", "c.wrl"):
        mesh = read(tmp_path / name)
        np.testing.assert_array_equal(mesh.vertices, QUAD)
        np.testing.assert_array_equal(mesh.triangles, FAN)
    assert len(read(tmp_path / "b.npy", surface=False).vertices) == 4
    with pytest.raises(AssetError, match="without triangles"):
        read(tmp_path / "b.npy")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.obj", "# nothing\n", "empty"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "without triangles"),
        ("a.obj", "v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", "vertices are NaN"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "names vertex 8, but there are 3"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "counts from 1"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "without area"),
        ("a.obj", "v 0 zero 0\n", "damaged"),
        ("a.ply", "solid x\n", "no PLY header"),
        ("a.ply", "ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nproperty float y\n"
                  "property float z\nend_header\nshort", "damaged"),
        ("a.npz", "no zip", "damaged"),
        ("a.stl", "solid", "not a mesh file"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(AssetError, match=words):
        read(tmp_path / name)
    with pytest.raises(AssetError, match="cannot be read"):
        read(tmp_path / "missing.obj")


@pytest.mark.parametrize(("factor", "unit"), [(1, "mm"), (0.1, "cm"), (0.01, "dm"), (0.001, "m"), (1000, "um")])
def test_units_are_told_apart(tmp_path, factor, unit):
    write_obj(tmp_path / "a.obj", QUAD * factor, FAN)
    assert unit_of(QUAD * factor) == unit
    np.testing.assert_allclose(read(tmp_path / "a.obj", unit=unit).vertices, QUAD)
    np.testing.assert_allclose(read(tmp_path / "a.obj").vertices, QUAD * factor)
    other = "m" if unit == "mm" else "mm"
    with pytest.raises(AssetError, match=f"said to be in {other}.*looks like {unit}"):
        read(tmp_path / "a.obj", unit=other)
    with pytest.raises(AssetError, match="no face has this size"):
        write_obj(tmp_path / "a.obj", QUAD * 1e-7, FAN)
        read(tmp_path / "a.obj", unit="mm")


def test_tangled_meshes_are_refused_and_a_few_tangled_edges_remarked():
    count = 60
    x, y = np.meshgrid(np.arange(count), np.arange(count))
    vertices = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    assert checked(vertices, triangles, "grid").remark == ""
    assert "non-manifold" in checked(vertices, np.concatenate([triangles, [[0, 61, 500]]]), "one fin").remark
    with pytest.raises(AssetError, match="non-manifold"):
        checked(vertices, np.concatenate([triangles, triangles[:400]]), "doubled")


def test_landmark_files(tmp_path):
    points = np.arange(9.0).reshape(3, 3)
    np.save(tmp_path / "a.npy", points)
    (tmp_path / "a.txt").write_text("0 1 2 # nose\n3, 4, 5\n\n6 7 8\n")
    (tmp_path / "a.pp").write_text(
        '<!DOCTYPE PickedPoints>\n<PickedPoints>\n<DocumentData/>\n<point x="0" y="1" z="2" active="1" name="0"/>\n'
        '<point y="4" x="3" z="5" active="1" name="1"/>\n<point x="6" y="7" z="8" name="2"/>\n</PickedPoints>\n'
    )
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 2\n{\n10.5 20\n30 40\n}\n")
    for suffix in (".npy", ".txt", ".pp"):
        np.testing.assert_array_equal(read_points(tmp_path / f"a{suffix}", 3), points)
    np.testing.assert_array_equal(read_points(tmp_path / "a.pts"), [[10.5, 20], [30, 40]])
    assert find(tmp_path, "a", (".pp", ".npy")).suffix == ".pp"
    with pytest.raises(AssetError, match="3 points, but 7"):
        read_points(tmp_path / "a.npy", 7)
    with pytest.raises(AssetError, match="missing"):
        find(tmp_path, "b")
    (tmp_path / "b.txt").write_text("0 1 2\n3 nan 5\n")
    with pytest.raises(AssetError, match="point 1 is NaN"):
        read_points(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_text("0 1 2\n3 4\n")
    with pytest.raises(AssetError, match="damaged"):
        read_points(tmp_path / "c.txt")
