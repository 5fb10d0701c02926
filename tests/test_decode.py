"""The exported graphs say what torch and numpy say, on the toy head."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from likeness.assets.halves import half_shapes
from likeness.assets.toy import head
from likeness.encoders.regressor import Regressor
from likeness.errors import AssetError
from likeness.geometry.cameras import project_with_depth
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.models.decoder import Decoder as TorchDecoder
from likeness.models.points import PointModel
from likeness.photos.detect import Detection
from likeness.runtime.decode import Decoder
from likeness.runtime.encode import Encoder
from likeness.train.export import RegressorGraph, export_decoder, export_regressor, repack_regressor
from likeness.types import View


def _codes() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {"identity": random.standard_normal(len(head().identity)), "expression": random.uniform(0, 1, 51)}


def _view() -> View:
    rotation = from_euler(*(np.float64(angle) for angle in (0.4, -0.2, 0.1)))
    return View(rotation, np.array([5.0, -7, -650]), np.float64(800.0), np.array([120.0, 130.0]), (240, 250))


@pytest.fixture(scope="module", params=["base", "dense"])
def decoder(request, tmp_path_factory) -> Decoder:
    path = tmp_path_factory.mktemp("graphs") / "decoder.onnx"
    export_decoder(head(), request.param, path)
    return Decoder(request.param, head(), path)


def test_decoded_in_onnx_as_in_torch_and_numpy(decoder):
    codes, view, model = _codes(), _view(), head()
    found = decoder.decode(codes, view)
    vertices = model.decode(codes["identity"], codes["expression"])
    vertices = model.refine(vertices) if decoder.level == "dense" else vertices
    np.testing.assert_allclose(found.vertices, vertices, atol=1e-3)
    normals = vertex_normals(vertices, model.topology(decoder.level).triangles)
    np.testing.assert_allclose(found.normals, normals, atol=1e-3)
    seen = project_with_depth(vertices.astype(np.float64), view)
    np.testing.assert_allclose(found.points, seen[:, :2], atol=1e-2)
    np.testing.assert_allclose(found.depth, seen[:, 2], atol=1e-2)
    arguments = [
        *codes.values(),
        view.rotation,
        view.translation,
        view.focal,
        view.principal,
        *half_shapes(model).values(),
    ]
    with torch.no_grad():
        torch_vertices, torch_normals, *_ = TorchDecoder(model, decoder.level)(
            *(torch.as_tensor(np.asarray(value, np.float32)) for value in arguments)
        )
    np.testing.assert_allclose(found.vertices, torch_vertices.numpy(), atol=1e-3)
    np.testing.assert_allclose(found.normals, torch_normals.numpy(), atol=1e-3)


def test_a_mirrored_face_is_decoded_mirrored(decoder):
    from likeness.assets.arkit import EXPRESSIONS, mirrored

    codes, model = _codes(), head()
    swap = [EXPRESSIONS.index(mirrored(name)) for name in EXPRESSIONS]
    other = {"identity": codes["identity"] * model.symmetry, "expression": codes["expression"][swap]}
    mirror = model.topology(decoder.level).mirror
    one, two = decoder.decode(codes).vertices, decoder.decode(other).vertices
    np.testing.assert_allclose(two[mirror] * [-1, 1, 1], one, atol=1e-3)


def test_a_graph_of_another_model_or_kind_is_refused(tmp_path):
    import dataclasses

    path = tmp_path / "decoder.onnx"
    export_decoder(head(), "base", path)
    model = head()
    smaller = dataclasses.replace(model, identity=model.identity[:4], symmetry=model.symmetry[:4])
    with pytest.raises(AssetError, match="another face model"):
        Decoder("base", smaller, path)
    with pytest.raises(AssetError, match="another graph; a regressor is needed"):
        Encoder(path)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(AssetError, match="damaged.*a decoder is needed"):
        Decoder("base", model, tmp_path / "broken.onnx")
    with pytest.raises(ValueError, match="choose"):
        Decoder("fine", model, path)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> tuple[Encoder, RegressorGraph, Path]:
    torch.manual_seed(0)
    model = head()
    points = PointModel.at(model, model.topology().landmarks["dense"])
    network = Regressor(len(model.identity)).train()
    with torch.no_grad():
        for _ in range(8):  # give batch normalisation something to remember
            network(torch.randint(0, 255, (8, 128, 128, 3), dtype=torch.uint8))
    path = tmp_path_factory.mktemp("graphs") / "regressor.onnx"
    export_regressor(network, points, path, {"licence": "Apache-2.0"})
    return Encoder(path), RegressorGraph(network, points).eval(), path


def test_the_regressor_in_onnx_is_the_one_in_torch(encoder):
    session, graph = encoder[0].session, encoder[1]
    image = np.random.default_rng(0).integers(0, 255, (1, 128, 128, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = graph(torch.from_numpy(image))
    for one, other in zip(session.run(None, {"image": image}), expected):
        np.testing.assert_allclose(one, other.numpy(), rtol=5e-3, atol=0.02 * max(1.0, float(other.abs().max())) ** 0.5)
    assert session.get_modelmeta().custom_metadata_map["licence"] == "Apache-2.0"


def test_the_large_layer_is_kept_and_computed_in_8_bits(encoder):
    session, graph, path = encoder
    written = onnx.load(path).graph
    sizes = {tensor.name: (tensor.data_type, int(np.prod(tensor.dims))) for tensor in written.initializer}
    (product,) = (node for node in written.node if node.op_type == "MatMulNBits")
    assert sizes[product.input[1]] == (onnx.TensorProto.UINT8, 512 * 2048)
    assert not any(kind == onnx.TensorProto.FLOAT16 and count >= 1 << 19 for kind, count in sizes.values())
    assert sum(node.op_type == "GlobalAveragePool" for node in written.node) == 9
    image = np.random.default_rng(2).integers(0, 255, (1, 128, 128, 3), dtype=np.uint8)
    with torch.no_grad():
        (expected, *_) = graph(torch.from_numpy(image))
    (found, *_) = session.session.run(["identity"], {"image": image})
    assert np.sqrt(((found - expected.numpy()) ** 2).mean()) < 0.01 * float(expected.std())


def test_an_older_file_is_packed_as_a_new_one(encoder, tmp_path):
    _, graph, path = encoder
    old = onnx.load(path)
    product = next(node for node in old.graph.node if node.op_type == "MatMulNBits")
    add = next(node for node in old.graph.node if product.output[0] in node.input)
    weight = dict(graph.named_parameters())["network.backbone.top.0.weight"].detach().numpy().astype(np.float16)
    names = product.input[1], product.input[2]
    kept = [tensor for tensor in old.graph.initializer if tensor.name not in names]
    del old.graph.initializer[:]
    old.graph.initializer.extend([*kept, onnx.numpy_helper.from_array(weight, "top.half")])
    add.CopyFrom(onnx.helper.make_node("Gemm", [product.input[0], "top", add.input[1]], add.output, transB=1))
    old.graph.node.remove(product)
    old.graph.node.insert(0, onnx.helper.make_node("Cast", ["top.half"], ["top"], to=onnx.TensorProto.FLOAT))
    onnx.save(old, tmp_path / "old.onnx")
    repack_regressor(tmp_path / "old.onnx", tmp_path / "new.onnx")
    written = onnx.load(tmp_path / "new.onnx").graph.node
    assert any(node.op_type == "MatMulNBits" for node in written) and (tmp_path / "new.onnx").stat().st_size < 4.1e6
    image = np.random.default_rng(3).integers(0, 255, (1, 128, 128, 3), dtype=np.uint8)
    once, twice = (Encoder(file).session.run(None, {"image": image}) for file in (path, tmp_path / "new.onnx"))
    for one, other in zip(once, twice):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=2e-3)
    with pytest.raises(AssetError, match="ONNX"):
        repack_regressor(tmp_path / "missing.onnx", tmp_path / "new.onnx")


def test_an_estimate_is_in_pixels_of_the_photo(encoder):
    random = np.random.default_rng(1)
    photo = random.integers(0, 255, (300, 400, 3), dtype=np.uint8)
    estimate = encoder[0].encode(photo, Detection((100, 80, 220, 200), 0.2, 1.0), passes=1)
    model = head()
    vertices = model.decode(estimate.codes["identity"], estimate.codes["expression"])
    dense = model.topology().landmarks["dense"].points(vertices)
    seen = project_with_depth(dense.astype(np.float64), estimate.view)[:, :2]
    assert np.abs(seen - estimate.landmarks).max() < 0.5
    np.testing.assert_allclose(estimate.view.principal, [160, 140], atol=1e-6)
    assert estimate.view.size == (300, 400)


def test_a_second_pass_only_for_a_crop_that_is_off(encoder, monkeypatch):
    photo = np.zeros((300, 300, 3), np.uint8)
    looks = []
    look = Encoder._look
    monkeypatch.setattr(Encoder, "_look", lambda self, *given: looks.append(given) or look(self, *given))
    first = encoder[0].encode(photo, Detection((100, 80, 220, 200), 0.2, 1.0), passes=1)
    from likeness.photos.detect import face_frame, square

    center, side, roll = face_frame(first.landmarks)
    monkeypatch.setattr(Encoder, "_look", lambda self, *given: looks.append(given) or first)
    for shift, expected in ((0.0, 1), (0.5 * side, 2)):
        looks.clear()
        encoder[0].encode(photo, Detection(square(center + shift, side), roll, 1.0))
        assert len(looks) == expected


def test_decoding_imports_no_torch():
    code = "import sys, likeness.runtime.encode, likeness.runtime.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
