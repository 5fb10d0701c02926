"""`likeness embed`: pictures to vectors, and the files that other commands read."""

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from likeness import color
from likeness.cli import embed as command
from likeness.cli.benchmark import read_recogniser
from likeness.cli.embed import Embed, embed, known_points, listed, person, window
from likeness.cli.evaluate_pictures import read_embeddings
from likeness.encoders.recognition import small, templates
from likeness.encoders.recognition.align import align
from likeness.errors import PARTIAL, AssetError, NoFaceError, UsageError

SIZE = 48
PLACES = templates.arcface(SIZE) * 2.3 + [40.0, 25.0]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = small.IdentityNetwork("resnet18", SIZE, 16)
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.momentum = 1.0
    network.train()(torch.rand(8, 3, SIZE, SIZE))
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    small.write(path, network, "toy", templates.arcface(SIZE), "none", [])
    return path


def _picture(seed):
    """A blurred pattern (190, 200, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 10, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((200, 190), Image.Resampling.BICUBIC))


@pytest.fixture
def album(tmp_path):
    """Two people, two pictures of each, and the file of where their faces are."""
    folder, names = tmp_path / "album", []
    for who in ("ada", "bo.b"):
        (folder / who).mkdir(parents=True)
        for number in (1, 2):
            names.append(f"{who}/v.{number}.png")
            Image.fromarray(_picture(len(names))).save(folder / names[-1])
    np.savez(tmp_path / "places.npz", name=np.array(names), points=np.stack([PLACES] * 4))
    return folder


def _run(folder, weights, **options):
    out = folder.parent / "vectors.npz"
    known = folder.parent / "places.npz"
    code = embed(Embed(folder, out, weights=weights, **({"landmarks": known, "batch": 3} | options)))
    return code, out


def test_vectors_are_those_of_the_aligned_faces(album, weights):
    code, out = _run(album, weights)
    found = read_embeddings(out)
    assert code == 0
    assert list(found.names) == ["ada/v.1", "ada/v.2", "bo.b/v.1", "bo.b/v.2"] and list(found.people) == [
        "ada",
        "ada",
        "bo.b",
        "bo.b",
    ]
    network = small.load(weights)
    for row, seed in enumerate((1, 2, 3, 4)):
        image = torch.from_numpy(color.decode(_picture(seed)))[None]
        with torch.no_grad():
            expected = network.embed(image, torch.tensor(PLACES, dtype=torch.float32)[None])[0].numpy()
        np.testing.assert_allclose(found.vectors[row], expected, atol=4e-3)  # crops wait in half precision
    near = found.vectors @ found.vectors.T
    assert near[~np.eye(4, dtype=bool)].max() < 0.99 and np.allclose(np.diag(near), 1, atol=1e-5)


def test_the_benchmark_and_the_identity_protocol_read_the_file(album, weights):
    from likeness.cli.evaluate_pictures import EvaluateIdentity, evaluate_identity

    known = album.parent / "one.npz"
    np.savez(known, name=np.array(["v.1.png", "v.2.png"]), points=np.stack([PLACES] * 2))
    _, out = _run(album / "bo.b", weights, landmarks=known)
    (album.parent / "bench").mkdir()
    out.rename(album.parent / "bench" / "photos.npz")
    found = read_recogniser(album.parent / "bench")
    assert set(found.photos) == {"v.1", "v.2"}
    assert (
        evaluate_identity(EvaluateIdentity(album.parent / "bench", album.parent / "bench", album.parent / "report"))
        == 0
    )
    table = (album.parent / "report" / "scores.csv").read_text().splitlines()
    assert len(table) == 3 and "similarity" in table[0]


def test_vectors_of_two_recognisers_are_not_compared(album, weights, tmp_path):
    """Two files of one length, by networks of one name and other weights; a file that says nothing is believed."""
    from likeness.cli.evaluate_pictures import EvaluateIdentity, evaluate_identity

    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    small.write(other, small.IdentityNetwork("resnet18", SIZE, 16), "toy", templates.arcface(SIZE), "none", [])
    bench = tmp_path / "bench"
    bench.mkdir()
    for name, file in (("photos.npz", weights), ("theirs.npz", other)):
        _run(album, file)[1].rename(bench / name)
    config = EvaluateIdentity(bench / "theirs.npz", bench / "photos.npz", tmp_path / "report")
    for refuse in (lambda: read_recogniser(bench), lambda: evaluate_identity(config)):
        with pytest.raises(AssetError, match="two recognisers"):
            refuse()
    with np.load(bench / "theirs.npz") as data:
        np.savez(bench / "theirs.npz", **{key: data[key] for key in ("name", "person", "embedding")})
    assert evaluate_identity(config) == 0 and set(read_recogniser(bench).drawings) == {"theirs"}


def test_pictures_without_a_face_are_named_and_left_out(album, weights, capsys):
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(album / "wall.png")
    (album / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    code, out = _run(album, weights)
    said = capsys.readouterr().err
    assert code == PARTIAL and len(read_embeddings(out).names) == 4
    assert "wall.png: no face was found" in said and "torn.jpg" in said
    only = album.parent / "walls"
    only.mkdir()
    (album / "wall.png").rename(only / "wall.png")
    assert _run(only, weights)[0] == NoFaceError.exit_code


def test_the_largest_face_counts(monkeypatch):
    from types import SimpleNamespace

    from likeness.photos.detect import Detection
    from likeness.runtime import detect, landmarks

    faces = [Detection((0, 0, 10, 10), 0.0, 0.9), Detection((30, 0, 50, 20), 0.0, 0.5)]
    dense = np.random.default_rng(0).normal(size=(478, 2)).astype(np.float32)
    seen = []
    monkeypatch.setattr(detect, "find_faces", lambda image, min_face: faces)
    monkeypatch.setattr(
        landmarks, "shipped", lambda: lambda image, face: seen.append(face) or SimpleNamespace(points=dense)
    )
    np.testing.assert_allclose(command.found_points(np.zeros((60, 60, 3), np.uint8), 40.0), templates.five(dense))
    assert seen == [faces[1]]


@pytest.mark.parametrize("shift", [(0, 0), (-60, -40), (900, 0)])
def test_a_window_holds_all_that_the_crop_looks_at(shift):
    """Also where the face lies over the photo's border, or beyond it."""
    image, template = _picture(7), templates.arcface(SIZE)
    points = PLACES + shift
    part, corner = window(image, points, template, SIZE)

    def crop(picture, places):
        linear = torch.from_numpy(color.decode(picture)).double()[None]
        return align(linear, torch.tensor(places)[None], template, SIZE)

    torch.testing.assert_close(crop(part, points - corner), crop(image, points))
    assert part.size < image.size


def test_landmark_files_of_five_and_of_478_points(tmp_path):
    dense = np.random.default_rng(0).normal(size=(2, 478, 3))
    names = np.array(["a.x.jpg", "b"])
    for points in (dense, templates.five(dense)):
        np.savez(tmp_path / "points.npz", name=names, points=points)
        found = known_points(tmp_path / "points.npz")
        assert set(found) == {"a.x", "b"}
        np.testing.assert_allclose(found["b"], templates.five(dense)[1])
    np.savez(tmp_path / "points.npz", name=names, points=np.zeros((2, 68, 2)))
    with pytest.raises(AssetError, match="68"):
        known_points(tmp_path / "points.npz")


def test_people_are_read_from_names():
    assert person("ada/v1", None) == "ada" and person("v1", None) == "v1"
    assert person("Ada_Lovelace_01", "(.+)_") == "Ada_Lovelace"
    for pattern in ("(", ".+", "(x)"):
        with pytest.raises(UsageError, match="--person"):
            person("Ada_01", pattern)


def test_two_pictures_of_one_name_are_refused(tmp_path):
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(AssetError, match="one name"):
        listed(tmp_path)
    with pytest.raises(AssetError, match="no such folder"):
        listed(tmp_path / "absent")
