"""Trained systems: their files, what a face is made of, pose by landmarks, the command, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from likeness import color
from likeness.assets import albedo, builtin, catalogue
from likeness.assets.correspondence import OUTLINE
from likeness.cli.main import main
from likeness.data.booth import Booth
from likeness.encoders.backbones import build
from likeness.encoders.feature_decoder import FeatureDecoder
from likeness.encoders.parameters import ParameterNetwork
from likeness.encoders.recognition import templates
from likeness.encoders.recognition.interface import Recognition
from likeness.errors import AssetError, UsageError
from likeness.geometry import harmonics
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_axis_angle, from_euler, to_euler
from likeness.geometry.sparse import Sparse
from likeness.models.albedo import AlbedoDecoder
from likeness.models.expressionless import Expressionless
from likeness.models.linear import LinearModel
from likeness.models.multilevel import GeometryCorrectives, MultilevelModel, ReflectanceCorrectives, spread
from likeness.runtime.draw import rendered
from likeness.runtime.reconstruct import RESULT_FILES, reconstruct
from likeness.runtime.systems import tewari2018
from likeness.runtime.systems.card import Card, Graph, from_metadata, to_metadata
from likeness.runtime.systems.load import FOLDER, load
from likeness.runtime.systems.pose import Poser
from likeness.train.export_system import GenovaGraph, TewariGraph, Upsampling, export_genova, export_tewari
from likeness.types import Landmarks, Light, View

CODES, NODES, CHART = 12, 80, 16


@pytest.fixture(scope="module")
def head():
    return builtin.load()


@pytest.fixture(scope="module")
def crop():
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def genova():
    """A recognition network and a decoder that have learned nothing, but answer something."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 6 * 6, 64, bias=False))
    recogniser = Recognition(network, "nobody", 48, 64, templates.wide(48), "none", (0.5,) * 3, (0.25,) * 3)
    decoder = FeatureDecoder(64, 100, 60, width=64)
    nn.init.normal_(decoder.last.weight, std=0.1)
    return recogniser, decoder.eval()


@pytest.fixture(scope="module")
def tewari(head):
    torch.manual_seed(1)
    topology = head.topology()
    sizes = {"identity": 100, "expression": 51, "albedo": 60, "geometry": CODES, "reflectance": CODES}
    network = ParameterNetwork(build("mobilenet-places", 128), sizes)
    for name, layer in network.heads.items():
        nn.init.normal_(layer.weight, std=0.05 if name in sizes else 0.002)
        nn.init.normal_(layer.bias, std=1.0 if name in sizes else 0.0)
    model = MultilevelModel(
        LinearModel.of(head), AlbedoDecoder(albedo.load(), topology),
        GeometryCorrectives(*spread(head.mean, topology, NODES), "linear", CODES),
        ReflectanceCorrectives(topology, CHART, "linear", CODES),
    )  # fmt: skip
    return network.eval(), model.eval()


@pytest.fixture(scope="module")
def files(genova, tewari, head, tmp_path_factory):
    """Both systems' files."""
    folder = tmp_path_factory.mktemp("systems")
    export_genova(*genova, head, folder / "genova.onnx", ["renders"], facts={"steps": 0})
    export_tewari(*tewari, head, folder / "tewari.onnx", ["photos"], research=True)
    return {"genova": folder / "genova.onnx", "tewari": folder / "tewari.onnx"}


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(pytest.importorskip("skimage.data").astronaut()[:256, 96:352]).save(path)
    return path


def near(found, true, share):
    """Whether arrays agree to a share of their spread, as 8-bit weights allow."""
    return np.sqrt(np.mean((found - true) ** 2)) < share * max(float(np.std(true)), 1e-6)


def test_the_graph_of_genova_answers_what_the_networks_do(files, genova, crop):
    graph, small = Graph(files["genova"]), crop[:48, :48]
    with torch.no_grad():
        true = GenovaGraph(*genova)(torch.from_numpy(small)[None])
    answer = graph(small)
    assert list(answer) == ["identity", "albedo"] and near(answer["albedo"], true[1][0].numpy(), 0.03)
    assert near(answer["identity"], true[0][0].numpy(), 0.03) and answer["identity"].std() > 0.1
    assert graph.card.codes == {"identity": 100, "albedo": 60} and graph.card.facts == {"steps": 0}
    np.testing.assert_allclose(graph.card.template, templates.wide(48), atol=1e-3)
    assert "Genova" in graph.card.notice and "research use only" not in graph.card.notice


def test_the_graph_of_tewari_answers_what_the_recipe_does(files, tewari, crop):
    network, model = tewari
    graph, image = Graph(files["tewari"]), torch.from_numpy(crop)[None]
    answer = graph(crop)
    with torch.no_grad():
        found = network(image)
        true = dict(zip(tewari2018.ANSWERS, TewariGraph(network, model, 128)(image)))
        geometry = model.geometry(found.geometry)
    np.testing.assert_allclose(true["geometry"], geometry, atol=1e-5)  # gathered as the sparse matrix has it
    assert list(answer) == list(tewari2018.ANSWERS)
    for name, values in answer.items():
        assert values.shape == true[name].shape[1:]
        assert name == "focal" or near(values, true[name][0].numpy(), 0.05), name
    assert "research use only" in graph.card.notice


def test_matrices_and_kernels_are_stored_in_8_bits(files):
    onnx = pytest.importorskip("onnx")
    bytes_ = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    for path in files.values():
        large = [t for t in onnx.load(path).graph.initializer if len(t.dims) > 1 and np.prod(t.dims) >= 4096]
        wide = [
            t for t in large if t.data_type not in bytes_ and t.data_type != onnx.TensorProto.INT16
        ]  # 16 bits: places
        assert large and not wide


def test_long_rows_of_a_sparse_matrix_are_applied_as_short_ones():
    random = np.random.default_rng(0)
    rows = np.concatenate([[0, 0, 1, 2], np.repeat([3, 4, 6], 7)])  # row 5 is empty; 3 and 4 are alike
    columns = np.concatenate([[0, 3, 8, 2], np.tile(np.arange(7), 3)])
    values = np.concatenate([random.random(4), np.tile(random.random(7), 2), random.random(7)])
    matrix = Sparse.gathered(rows, columns, values, (7, 9))
    nodes = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(0))
    layer = Upsampling(matrix)
    assert layer.wholes.shape == (2, 9)
    torch.testing.assert_close(layer(nodes), matrix.apply(nodes))


def test_cards_come_back_and_others_are_refused(tmp_path):
    card = Card(
        "x", "y", "z", ("a", "b"), "0", 7, {"identity": 1}, True, template=((1.0, 2.0),) * 5, facts={"k": [1, "v"]}
    )
    entries = to_metadata(card)
    assert from_metadata(entries, tmp_path) == card
    document = json.loads(entries["likeness.card"])
    for wrong in ("{}", "[]", "{", json.dumps(document | {"version": 2}), json.dumps(document | {"crop": "wide"})):
        with pytest.raises(AssetError):
            from_metadata(entries | {"likeness.card": wrong}, tmp_path)
    with pytest.raises(AssetError):
        from_metadata({}, tmp_path)


def test_systems_of_other_models_are_refused(files, head):
    graph = Graph(files["genova"])
    with pytest.raises(AssetError, match="another version of the face model"):
        graph.check(replace(head, mean=head.mean + 1), albedo.load())
    graph.card = replace(graph.card, codes={"albedo": 61})
    with pytest.raises(AssetError, match="another version of the face model"):
        graph.check(head, albedo.load())


@pytest.fixture(scope="module")
def seen(head):
    """A face with known expression and pose, and its landmarks in a photo."""
    random, poser = np.random.default_rng(4), Poser(head)
    codes = {"identity": random.normal(size=100), "expression": np.zeros(51)}
    for name, weight in {"jawOpen": 0.5, "mouthSmileLeft": 0.6, "browInnerUp": 0.7, "eyeBlinkRight": 0.8}.items():
        codes["expression"][head.expression_names.index(name)] = weight
    turned = from_euler(np.float64(0.4), np.float64(-0.1), np.float64(0.2))
    view = View(turned, np.array([10.0, -20, -800]), np.float64(900), np.array([128.0, 128]), (256, 256))
    shape = (
        poser.mean
        + np.tensordot(codes["identity"], poser.identity, 1)
        + np.tensordot(codes["expression"], poser.expression, 1)
    )
    points = np.full((478, 2), 1e4)  # the outline's are nowhere near: they must not count
    points[poser.rows] = project(shape, view)
    return poser, codes, view, Landmarks(points, np.full(478, 0.3))


def test_pose_and_expression_come_from_landmarks(seen):
    poser, codes, view, landmarks = seen
    begin = replace(
        view, rotation=from_axis_angle(np.array([0.1, -0.2, 0.1])) @ view.rotation, translation=view.translation * 1.1
    )
    expression, found = poser({"identity": codes["identity"], "expression": np.zeros(51)}, begin, landmarks)
    off = [np.degrees(abs(a - b)) for a, b in zip(to_euler(found.rotation), to_euler(view.rotation))]
    assert max(off) < 0.5 and np.linalg.norm(found.translation - view.translation) < 4
    assert abs(expression - codes["expression"]).max() < 0.15 and expression.min() >= 0 and expression.max() <= 1
    assert set(OUTLINE).isdisjoint(poser.rows)


def test_wrong_landmarks_count_little(seen):
    poser, codes, view, landmarks = seen
    spoiled = landmarks.points.copy()
    spoiled[poser.rows[::12]] += 60
    expression, found = poser(codes, view, Landmarks(spoiled, landmarks.sigma))
    assert np.linalg.norm(found.translation - view.translation) < 4
    assert abs(expression - codes["expression"]).max() < 0.1


def test_a_face_of_genova_is_at_rest_in_its_own_albedo(files, portrait):
    (face,) = reconstruct(portrait, system=load(str(files["genova"]), "base"))
    assert face.codes["expression"].max() > 0.05 and face.resting  # what landmarks say is there, but not in the files
    asset = face.asset(textured=False)
    assert not asset.weights.any() and len(asset.target_names) == 51 and face.card.notice in asset.notices
    np.testing.assert_array_equal(face.neutral, asset.positions)
    forehead = face.texture[:80].reshape(20, 4, 256, 4, 3).mean((1, 3))
    assert abs(forehead - color.encode(face.albedo)[:20]).mean() < 1  # albedo, not the photo
    found = face.files()
    assert {"face.glb", "face.json", "overlay.png", "albedo.png"} <= set(found) <= set(
        RESULT_FILES
    ) and "base.glb" not in found
    record = json.loads(found["face.json"])
    assert record["model"]["system"] == "genova2018" and len(record["codes"]["albedo"]) == 60
    box = np.array(face.box)
    assert (face.landmarks["5"] > box[:2]).all() and (face.landmarks["5"] < box[2:]).all()  # posed by landmarks


def test_a_face_of_tewari_has_two_levels(files, portrait, head):
    system = load(str(files["tewari"]), "base")
    (face,) = reconstruct(portrait, system=system)
    estimate = system.encode(face.image, face.detection)
    np.testing.assert_allclose(face.vertices - face.base.vertices, estimate.geometry, atol=1e-3)
    np.testing.assert_allclose(face.neutral - face.base.neutral, estimate.geometry, atol=1e-3)
    assert np.linalg.norm(estimate.geometry, axis=1).max() > 0.1
    np.testing.assert_allclose(
        face.base.vertices, head.decode(face.codes["identity"], face.codes["expression"]), atol=1e-2
    )
    tones = color.srgb_from_linear(face.albedo) - color.srgb_from_linear(face.base.albedo)
    inside = (face.albedo > 0.01) & (face.albedo < 0.9)
    assert abs(tones).max() > 0.005
    wanted = np.repeat(np.repeat(estimate.reflectance, 16, 0), 16, 1)
    middle = slice(8, None, 16)
    np.testing.assert_allclose(
        tones[middle, middle][inside[middle, middle]], wanted[middle, middle][inside[middle, middle]], atol=0.02
    )
    found = face.files()
    assert (
        {"face.glb", "base.glb", "albedo.png", "albedo-base.png", "light.png", "light.hdr"}
        <= set(found)
        <= set(RESULT_FILES)
    )
    assert (
        found["face.glb"] != found["base.glb"] and "research use only" in json.loads(found["face.json"])["licences"][-1]
    )
    (dense,) = reconstruct(portrait, system=load(str(files["tewari"]), "dense"))
    grid = head.layout.size**2
    places = dense.topology.landmarks["68"].points(dense.vertices) - face.topology.landmarks["68"].points(face.vertices)
    assert len(dense.vertices) > grid and np.linalg.norm(places, axis=1).max() < 1


def test_a_face_is_drawn_in_its_light(files, portrait):
    (face,) = reconstruct(portrait, system=load(str(files["tewari"]), "base"))
    even = np.zeros((9, 3))
    even[0] = 0.5 / harmonics.CONSTANTS[0]
    plain, coverage = replace(face, light=Light(even)).drawn()
    inside = coverage[..., 0] == 1
    texture = rendered(face.vertices, face.topology.triangles, face.view, face.topology.uv, color.decode(face.texture))[
        0
    ]
    np.testing.assert_allclose(plain[inside], texture[inside] / 2, atol=1e-5)
    even[3] = 0.4  # light from the right of the camera
    side = replace(face, light=Light(even)).drawn()[0]
    columns = np.arange(side.shape[1]) > np.median(np.nonzero(inside)[1])
    assert (side - plain)[inside & columns].mean() > 0.01 > -0.01 > (side - plain)[inside & ~columns].mean()
    (resting,) = reconstruct(portrait, system=load(str(files["genova"]), "base"))
    with pytest.raises(ValueError, match="finds no light"):
        resting.drawn()


def test_light_of_a_turned_photo_is_turned(files, portrait):
    system = load(str(files["tewari"]), "base")
    (face,) = reconstruct(portrait, system=system)
    turn = np.rot90(face.image).copy()
    graph = Graph(files["tewari"])
    upright = tewari2018.estimate(graph(face.crop.image), face.crop, face.image.shape[:2])
    size = face.image.shape[0]
    quarter = (
        np.array([[0.0, 1, 0], [-1, 0, size], [0, 0, 1]]) @ face.crop.photo_from_crop
    )  # pixels of the turned photo
    turned = tewari2018.estimate(graph(face.crop.image), replace(face.crop, photo_from_crop=quarter), turn.shape[:2])
    normals = np.eye(3)
    quarter_turn = turned.view.rotation @ upright.view.rotation.T
    np.testing.assert_allclose(
        harmonics.shade(normals @ quarter_turn.T, turned.light.harmonics),
        harmonics.shade(normals, upright.light.harmonics),
        atol=1e-6,
    )
    assert abs(turned.light.harmonics - upright.light.harmonics).max() > 1e-4


WITHOUT_LEARNING = """
import importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "scipy", "skimage", "onnx", "h5py"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
from likeness.cli.main import main
main(sys.argv[1:])
"""


def test_the_command_runs_where_nothing_for_learning_is_installed(files, portrait, tmp_path):
    for name, path in files.items():
        arguments = ["reconstruct", str(portrait), "--system", str(path), "--level", "base", "-o", str(tmp_path / name)]
        done = subprocess.run([sys.executable, "-c", WITHOUT_LEARNING, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["faces"] == 1 and summary["system"] == str(path)
        assert (tmp_path / name / "astronaut/face-1/albedo.png").is_file()


@pytest.mark.parametrize(
    "options, line",
    [
        (["--system", "mofa2017"], "neither a system that ships"),
        (["--system", "genova2018", "--person", "p.safetensors"], "--person does not go with --system"),
        (["--system", "tewari2018", "--head", "ict", "--ict", "."], "--head ict does not go with --system"),
    ],
)
def test_what_does_not_go_together_takes_one_line(portrait, tmp_path, capsys, options, line):
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", str(portrait), "-o", str(tmp_path / "out"), *options])
    said = capsys.readouterr().err
    assert ended.value.code in (UsageError.exit_code, AssetError.exit_code) and line in said and said.count("\n") == 1


def test_graphs_that_are_no_systems_are_refused(tmp_path):
    with pytest.raises(AssetError, match="another graph"):
        load(str(Path(tewari2018.__file__).parents[1] / "regressor.onnx"))
    (tmp_path / "x.onnx").write_bytes(b"x")
    with pytest.raises(AssetError, match="damaged"):
        load(str(tmp_path / "x.onnx"))
    with pytest.raises(UsageError, match="no level"):
        load("genova2018", "ultra")


def test_models_describes_a_system(files, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["models", str(files["tewari"])])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "tewari2018" in said and "research only" in said and f"{CODES} geometry" in said
    with pytest.raises(SystemExit):
        main(["models", str(files["genova"])])
    said = capsys.readouterr().out
    assert "cut by five points" in said and "research only" not in said and "steps    0" in said


SHIPPED = [Path(entry.file).stem for entry in catalogue.SHIPPED.values() if entry.file.startswith("runtime/systems/")]


@pytest.mark.parametrize("name", SHIPPED)
def test_systems_that_ship_are_small_free_and_see_faces(name, portrait):
    system, card = load(name, "base"), Graph(FOLDER / f"{name}.onnx").card
    assert card.system == name and not card.research and (FOLDER / f"{name}.onnx").stat().st_size < 10e6
    (face,), (ours,) = reconstruct(portrait, system=system), reconstruct(portrait, level="base")
    eyes = np.linalg.norm(ours.landmarks["68"][36] - ours.landmarks["68"][45])
    off = np.linalg.norm(face.landmarks["68"][17:] - ours.landmarks["68"][17:], axis=1).mean() / eyes
    assert off < 0.1 and 0.05 < face.codes["identity"].std() < 3
    assert 0.05 < face.albedo.mean() < 0.6 and np.isfinite(face.vertices).all()


def test_what_ships_gives_the_codes_of_drawn_heads_back():
    """By how codes found and true go together over 128 heads in random poses and light; chance is 0.09."""
    graph = Graph(FOLDER / "genova2018.onnx")
    shipped = builtin.load()
    booth = Booth(shipped.topology("base"), torch.tensor(graph.card.template).float(), graph.card.crop)
    model = Expressionless.of(shipped, albedo.load(), shipped.topology("base"))
    random = torch.Generator().manual_seed(11)
    true = {name: torch.randn(128, count, generator=random) for name, count in model.codes.items()}
    with torch.no_grad():
        face = model(true["identity"], true["albedo"])
        crops = color.encode(booth.photograph(face, *booth.poses(128, random), random).clip(0, 1).numpy())
    answers = [graph(crop) for crop in crops]
    for name, count, least in (("identity", 8, 0.3), ("albedo", 12, 0.4)):
        found = np.stack([answer[name] for answer in answers])
        alike = [np.corrcoef(found[:, k], true[name][:, k])[0, 1] for k in range(count)]
        assert np.mean(alike) > least, name
