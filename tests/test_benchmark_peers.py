"""Other systems in the benchmark: their files score like their arrays, and what is wrong with them is named."""

import math

import benchmark_parts as parts
import numpy as np
import pytest
from benchmark_parts import as_set, neutral

from likeness.assets import toy
from likeness.errors import AssetError
from likeness.evaluate import topologies
from likeness.evaluate.benchmark import baselines, measure
from likeness.evaluate.benchmark.items import Answer, Method
from likeness.evaluate.benchmark.peers import peer, read_shape, vertex_list


@pytest.fixture
def peer_folder(tmp_path):
    return parts.write_peer(tmp_path / "peer")


def test_a_peers_files_score_like_its_arrays(head, pictures, peer_folder):
    folder, shape = peer_folder
    surfaces = measure.Surfaces()
    base = baselines.mean_face(head)
    measured = measure.head_measure(surfaces, baselines.shape_of(head, head.mean))
    other = Method("arrays", lambda item: Answer(shape), "")
    result = measure.run([as_set(pictures[:4], measured)], [peer("files", folder), other, base])
    files, arrays = (result.scores["heads", name] for name in ("files", "arrays"))
    assert files.names == tuple(item.name for item in pictures[:3]) and "missing" in files.failures[pictures[3].name]
    np.testing.assert_allclose(files.values["shape"], arrays.values["shape"][:3], atol=2e-3)
    unit = [item.truth.unit for item in pictures[:3]]
    np.testing.assert_allclose(files.values["points"], 100 * math.sqrt(2) / np.array(unit), rtol=1e-6)
    row = next(row for row in result.rows if row.method == "files" and row.kind == "all")
    assert (row.items, row.failed) == (4, 1)


def test_without_the_crop_everything_counts(pictures, peer_folder):
    folder, shape = peer_folder
    (folder / "keep.txt").unlink()
    whole = peer("files", folder).answer(pictures[0]).neutral
    assert len(whole.triangles) == len(shape.triangles) + 1


def test_faults_of_a_peer_are_named(pictures, peer_folder, tmp_path):
    folder, _ = peer_folder
    with pytest.raises(AssetError, match="neither meshes/ nor points/"):
        peer("nobody", tmp_path / "nothing")
    (folder / "landmarks.txt").write_text("1 2 3")
    with pytest.raises(AssetError, match="3 vertex ids"):
        peer("files", folder)
    (folder / "landmarks.txt").write_text("0 1 2 3 4 5 99999")
    with pytest.raises(AssetError, match="99999"):
        peer("files", folder).answer(pictures[0])
    (folder / "landmarks.txt").write_text("0 1 2.5")
    with pytest.raises(AssetError, match="not a list of vertex ids"):
        vertex_list(folder / "landmarks.txt")


def layouts(vertices, triangles, colours):
    """The same mesh as four systems write it, file for file as their public code does: name -> (path, text)."""
    up = vertices * [1, -1, 1] + [0, 400, 0]  # 3DDFA_V2: pixels of the picture, y down, turned over as it is written
    lines = [f"v {a:.2f} {400 - b:.2f} {c:.2f} {r:.2f} {g:.2f} {k:.2f}" for (a, b, c), (r, g, k) in zip(up, colours)]
    lines += [f"f {c + 1} {b + 1} {a + 1}" for a, b, c in triangles[:, ::-1]]
    ply = ["ply", "format ascii 1.0", f"element vertex {len(up)}", "property float x", "property float y", "property float z",
           f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header", ""]  # fmt: skip
    ply += [f"{a:.2f} {400 - b:.2f} {c:.2f}" for a, b, c in up] + [f"3 {a} {b} {c}" for a, b, c in triangles]
    deca = ["mtllib {0}.mtl", "", *(f"v {a} {b} {c}" for a, b, c in vertices / 1000), "vt 0.5 0.5", "vt 0.25 0.75", "vt 1 0",
            "usemtl FaceTexture", *(f"f {a + 1}/1 {b + 1}/2 {c + 1}/3" for a, b, c in triangles)]  # fmt: skip
    deep = ["# https://github.com/mikedh/trimesh"]
    deep += [
        f"v {a:.8f} {b:.8f} {c:.8f} {r:.8f} {g:.8f} {k:.8f}" for (a, b, c), (r, g, k) in zip(vertices / 100, colours)
    ]
    deep += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles]
    eos = [
        "mtllib out.mtl",
        *(f"v {a} {b} {c} " for a, b, c in vertices),
        "vt 0 1",
        "vt 1 1",
        "vt 1 0",
        "usemtl FaceTexture",
    ]
    eos += [f"f {a + 1}/1 {b + 1}/2 {c + 1}/3" for a, b, c in triangles]
    return {
        "3DDFA_V2": ("{0}_obj.obj", lines), "3DDFA_V2 as PLY": ("{0}_ply.ply", ply), "DECA": ("{0}/{0}.obj", deca),
        "Deep3DFaceRecon": ("{0}.obj", deep), "eos": ("{0}.obj", eos),
    }  # fmt: skip


@pytest.mark.parametrize("system", ["3DDFA_V2", "3DDFA_V2 as PLY", "DECA", "Deep3DFaceRecon", "eos"])
def test_files_as_other_systems_write_them(head, pictures, tmp_path, system):
    """Made here in their layout: names, headers, colours, charts, units, order of corners. Their own output is not at hand."""
    shape = neutral(head, np.full(toy.IDENTITY, 0.5))
    colours = np.random.default_rng(0).uniform(size=shape.vertices.shape)
    pattern, lines = layouts(shape.vertices, shape.triangles, colours)[system]
    name = pictures[0].name
    path = tmp_path / "peer/meshes" / pattern.format(name)
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines).format(name) + "\n")
    marks = head.topology("base").landmarks["68"]
    nearest = marks.vertices[np.arange(68), np.asarray(marks.weights).argmax(1)]
    (tmp_path / "peer/landmarks.txt").write_text("\n".join(map(str, nearest)))
    found = peer(system, tmp_path / "peer").answer(pictures[0]).neutral
    surfaces, truth = measure.Surfaces(), pictures[0].truth.neutral
    wanted = surfaces.errors(truth, shape).mean
    assert surfaces.errors(truth, found).mean == pytest.approx(wanted, abs=0.05) and not found.in_mm


def grid(count):
    """A mesh of exactly so many vertices, with some triangles over the first of them."""
    vertices = np.random.default_rng(0).normal(0, 40, (count, 3))
    return vertices, np.stack([np.arange(0, 300, 3), np.arange(1, 301, 3), np.arange(2, 302, 3)], -1)


def test_topologies_of_other_systems_need_no_list(tmp_path):
    """FLAME's and BFM's sizes tell where the seven points are; a size that nobody knows needs landmarks.txt."""
    for count, first in ((topologies.FLAME, 2437), (topologies.BFM_FRONT, 2215), (topologies.BFM_NO_NECK, 2215)):
        vertices, triangles = grid(count)
        np.savez(tmp_path / "mesh.npz", vertices=vertices, triangles=triangles)
        shape = read_shape(tmp_path / "mesh.npz", None, None)
        np.testing.assert_array_equal(shape.landmarks[0], vertices[first])
        np.testing.assert_array_equal(shape.landmarks[4], vertices[topologies.table(count)[1][30]])
    vertices, triangles = grid(1234)
    np.savez(tmp_path / "mesh.npz", vertices=vertices, triangles=triangles)
    with pytest.raises(AssetError, match=r"1234 vertices tell no known topology; put landmarks\.txt"):
        read_shape(tmp_path / "mesh.npz", None, None)


def test_a_peer_that_means_its_size_says_its_unit(pictures, peer_folder):
    folder, shape = peer_folder
    (folder / "unit.txt").write_text("m\n")
    found = peer("files", folder).answer(pictures[0]).neutral
    assert found.in_mm
    np.testing.assert_allclose(found.landmarks, shape.landmarks, atol=1e-3)
    (folder / "unit.txt").write_text("mm")
    with pytest.raises(AssetError, match="looks like m"):
        peer("files", folder).answer(pictures[0])
    (folder / "unit.txt").write_text("ell")
    with pytest.raises(AssetError, match="unknown unit 'ell'"):
        peer("files", folder)
