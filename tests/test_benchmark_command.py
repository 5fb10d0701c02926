"""`likeness benchmark`: runs without data and says so, keeps to its split, names wrong arguments."""

import csv
from dataclasses import replace

import benchmark_parts as parts
import numpy as np
import pytest

from likeness.errors import AssetError, UsageError
from likeness.evaluate.benchmark.items import Answer
from likeness.photos.detect import Detection


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_smoke_run_without_data_says_so(toy_system, tmp_path, monkeypatch, capsys):
    from likeness.cli.benchmark import NEVER, Benchmark, benchmark

    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    config = Benchmark(
        output=tmp_path / "out", quick=True, threads=1, peer=(f"other={parts.write_peer(tmp_path / 'peer')[0]}",)
    )
    assert benchmark(config, toy_system) == 0
    text = (tmp_path / "out" / "index.html").read_text()
    assert "LIKENESS_DATA names no folder" in text and "smoke run" in text
    assert all(line.split(":")[0] in text for line in NEVER if "`" not in line.split(":")[0])
    rows = read(tmp_path / "out" / "scores.csv")
    whole = {row["method"]: row for row in rows if row["kind"] == "all" and row["set"] == "heads"}
    assert set(whole) == {"likeness", "likeness, box given", "other", "mean face", "true face"}
    given = whole["likeness, box given"]
    assert float(given["cover"]) > 80 and float(given["metrical"]) > 0 and whole["other"]["metrical"] == ""
    moving = {row["method"]: row for row in rows if row["kind"] == "all" and row["set"] == "moving"}
    assert float(moving["mean face"]["lag"]) == pytest.approx(0, abs=25) and float(moving["mean face"]["jitter"]) < 1
    assert "no embeddings were given" in text
    assert int(whole["likeness"]["failed"]) + (whole["likeness"]["shape"] != "") >= 1
    assert float(whole["likeness, box given"]["ratio"]) > 0 and whole["likeness, box given"]["failed"] == "0"
    assert "A system of the test." in text
    assert "| mean face |" in capsys.readouterr().out


def test_pictures_are_written_for_peers(toy_system, tmp_path, monkeypatch):
    from likeness.cli.benchmark import Benchmark, benchmark

    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    assert benchmark(Benchmark(quick=True, pictures=tmp_path / "for-peers"), toy_system) == 0
    names = sorted(path.name for path in (tmp_path / "for-peers").iterdir())
    assert names[:2] == ["heads-000-0.png", "heads-000-1.png"]


def landmarks_of_a_face(random, count):
    """Dense landmarks (count, 478, 3) of a face that looks ahead, well apart, in a picture of 64 px."""
    return (random.uniform(16, 48, (count, 478, 3)) * [1, 1, 0]).astype(np.float32)


@pytest.fixture
def data_folder(tmp_path):
    """Photos of noise in the layout of the data folder."""
    import cv2

    random, root = np.random.default_rng(0), tmp_path / "data"
    sets = {
        "landmarks_lfpw/images": [f"image_{k:04d}.png" for k in range(6)],
        "photos/sfhq": [f"{k:05d}.png" for k in range(20)],
        "video_frames/frames": [
            f"{name}_{v}{f}.png" for name in ("Mary_Doe", "Jane_Roe", "Mo_Xu") for v in "01" for f in "01"
        ],
    }
    for folder, names in sets.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(root / folder / name), random.integers(0, 255, (64, 64, 3), np.uint8))
    np.savez(root / "landmarks_lfpw/landmarks68.npz", name=sets["landmarks_lfpw/images"],
             points=random.uniform(16, 48, (6, 68, 2)).astype(np.float32))  # fmt: skip
    places = {"landmarks_lfpw/images": "landmarks_lfpw/landmarks478", "photos/sfhq": "photos/sfhq.landmarks478",
              "video_frames/frames": "video_frames/landmarks478"}  # fmt: skip
    for folder, names in sets.items():
        np.savez(root / f"{places[folder]}.npz", name=names, points=landmarks_of_a_face(random, len(names)))
    return root


def test_photo_sets_keep_to_their_split(data_folder):
    from likeness.cli.benchmark_sets import photo_sets

    found = {}
    for split in ("val", "test"):
        sets, missing = photo_sets(data_folder, split, 100, 100)
        found[split] = {chosen.name: [item.name for item in chosen.items] for chosen in sets}
        assert len(missing) == (split == "test"), missing
    assert missing[0].startswith("aflw2000_16")
    assert found["val"]["lfpw"] == ["lfpw-image_0000", "lfpw-image_0002", "lfpw-image_0004"]
    assert found["test"]["lfpw"] == ["lfpw-image_0001", "lfpw-image_0003", "lfpw-image_0005"]
    assert found["val"]["sfhq"] == ["sfhq-00005", "sfhq-00015"] and found["test"]["sfhq"] == [
        "sfhq-00000",
        "sfhq-00010",
    ]
    assert len(found["val"]["frames"]) == 8 and len(found["test"]["frames"]) == 4
    people = [item.person for chosen in sets for item in chosen.items if chosen.name == "frames"]
    assert set(people) == {"person 0"} and not any("Roe" in name for name in found["test"]["frames"])


def test_photos_score_nothing_for_the_truth_itself(data_folder):
    from likeness.cli.benchmark_sets import photo_sets

    (data_folder / "video_frames/landmarks478.npz").unlink()
    sets, missing = photo_sets(data_folder, "val", 100, 100)
    assert [line.split(":")[0] for line in missing] == ["video_frames"]
    lfpw, sfhq = sets
    for item in lfpw.items:
        assert lfpw.measure(item, Answer(points=item.truth.points)) == {"points68": 0, "mouth": 0}
        off = lfpw.measure(item, Answer(points=item.truth.points + [3.0, 4.0]))
        assert off["points68"] == pytest.approx(500 / item.truth.unit) and lfpw.measure(item, Answer()) == {}
    for item in sfhq.items:
        assert sfhq.measure(item, Answer(dense=item.truth.dense[:, :2]))["dense"] == pytest.approx(0, abs=1e-4)
        assert sfhq.measure(item, Answer(points=np.zeros((68, 2)))) == {}
        assert item.slices["resolution"] == "< 64 px" and "occlusion" not in item.slices


def test_wrong_arguments_are_named(tmp_path):
    from likeness.cli.benchmark import Benchmark, benchmark

    with pytest.raises(UsageError, match="NAME=DIR"):
        benchmark(Benchmark(peer=("nothing",)))
    with pytest.raises(UsageError, match="at least 1"):
        benchmark(Benchmark(people=0))
    with pytest.raises(AssetError, match="no such folder"):
        benchmark(Benchmark(data=tmp_path / "nowhere", quick=True))


def test_methods_are_chosen_by_name(toy_system):
    from likeness.cli.benchmark_methods import MAKERS, methods

    chosen = methods(("mean", "given"), toy_system, 4)
    assert [method.name for method in chosen] == ["mean face", "likeness, box given"]
    assert set(MAKERS) == {"likeness", "given", "fit", "mean", "true", "genova2018", "tewari2018"}
    with pytest.raises(UsageError, match="--methods best: unknown; choose likeness"):
        methods(("best",), toy_system, 4)


def test_photos_are_covered_where_it_says(data_folder):
    from likeness.cli.benchmark_covered import covered_set
    from likeness.cli.benchmark_sets import lfpw_set

    photos = lfpw_set(data_folder, "val", 100)
    covered = covered_set(photos, 2)
    assert len(covered.items) == 8 and covered.metrics == photos.metrics
    for k in (0, 4):
        plain, *others = covered.items[k : k + 4]
        assert plain.slices == {"occlusion": "none"} and plain.truth is others[0].truth
        assert {item.slices["occlusion"] for item in others} == {"eyes", "mouth", "side"}
        for item in others:
            changed = (item.picture().astype(int) - plain.picture()).astype(bool).any(-1).mean()
            assert 0.01 < changed < 1 and item.name.endswith(item.slices["occlusion"])
            np.testing.assert_array_equal(item.picture(), item.picture())
    assert len({item.name for item in covered.items}) == 8


def test_embeddings_are_read_and_checked(tmp_path):
    from likeness.cli.benchmark import read_recogniser

    with pytest.raises(AssetError, match=r"no photos\.npz"):
        read_recogniser(tmp_path)
    names = np.array(["heads-000-0.png", "heads-000-1.png"])
    np.savez(tmp_path / "photos.npz", name=names, embedding=np.eye(2))
    np.savez(tmp_path / "likeness.npz", name=names[:1], embedding=np.ones((1, 2)))
    found = read_recogniser(tmp_path)
    np.testing.assert_array_equal(found.photos["heads-000-1"], [0, 1])
    assert list(found.drawings["likeness"]) == ["heads-000-0"]
    np.savez(tmp_path / "likeness.npz", name=names[:1], embedding=np.ones((1, 3)))
    with pytest.raises(AssetError, match=r"\[2, 3\] numbers"):
        read_recogniser(tmp_path)
    np.savez(tmp_path / "likeness.npz", name=names, embedding=np.array([[1.0, 0], [0, 0]]))
    with pytest.raises(AssetError, match="zero or not finite"):
        read_recogniser(tmp_path)


def test_drawings_are_written_for_a_recogniser(toy_system, tmp_path, monkeypatch):
    import cv2

    from likeness.cli.benchmark import Benchmark, benchmark

    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    seen = replace(toy_system, find=lambda image, min_face, min_score: [Detection((20, 20, 60, 60), 0.0, 0.9)])
    config = Benchmark(quick=True, drawings=tmp_path / "drawn", methods=("likeness", "mean"))
    assert benchmark(config, seen) == 0
    drawn = sorted((tmp_path / "drawn/likeness").iterdir())
    assert drawn and not (tmp_path / "drawn/mean face").exists()
    assert cv2.imread(str(drawn[0])).std() > 0


def test_a_reconstruction_brings_texture_and_drawing(toy_system, photo):
    from likeness.cli.benchmark_methods import answer_of
    from likeness.runtime.reconstruct import one_face

    image = photo((160, 120, 90))
    face = one_face(image, Detection((115, 75, 205, 165), 0.0, 0.9), toy_system)
    answer = answer_of(face)
    assert (
        answer.neutral.in_mm and answer.texture().dtype == np.uint8 and len(answer.codes) == len(face.codes["identity"])
    )
    drawing = answer.drawing()
    assert drawing.image.shape == image.shape and 0.02 < drawing.covered.mean() < 0.9
    np.testing.assert_allclose(255 * drawing.image[:3], image[:3], atol=1)
    inside = np.abs(255 * drawing.image - image)[drawing.covered].mean()
    assert inside < 12, "a texture taken from the photo explains it"


def test_a_square_is_brought_back_to_its_photo():
    """A picture cut out by a turned, shrinking square and drawn as it is: it lies where it was, and covers what it should."""
    import cv2

    from likeness.cli.benchmark_methods import in_photo
    from likeness.photos.crop import crop

    random = np.random.default_rng(0)
    photo = cv2.GaussianBlur(random.integers(0, 255, (120, 160, 3)).astype(np.uint8), (0, 0), 3)
    cut = crop(photo, (40.0, 30.0, 110.0, 100.0), 0.3, 128, 1.0)
    covered = np.zeros((128, 128))
    covered[30:100, 30:100] = 1
    drawing = in_photo(cut.image, covered, cut.photo_from_crop, photo)
    assert drawing.image.shape == photo.shape
    x, y = (cut.photo_from_crop @ [65, 65, 1])[:2]
    assert drawing.covered[int(y), int(x)] and not drawing.covered[5, 5]
    scale = np.hypot(*cut.photo_from_crop[:2, 0])
    assert drawing.covered.sum() == pytest.approx(70 * 70 * scale**2, rel=0.1)
    assert np.abs(255 * drawing.image - photo)[drawing.covered].mean() < 0.1
    np.testing.assert_allclose(255 * drawing.image[~drawing.covered], photo[~drawing.covered])


def test_recorded_clips_are_cut_to_their_first_frames(tmp_path, monkeypatch):
    pytest.importorskip("av")
    from likeness.cli import benchmark_clips
    from likeness.photos.video import Writer

    monkeypatch.setattr(benchmark_clips, "FRAMES", 4)
    for name in ("b.mp4", "a.mp4", "c.mp4"):
        with Writer(tmp_path / name, (32, 48), 10) as clip:
            for k in range(6):
                clip.add(np.full((32, 48, 3), 40 * k + (name == "a.mp4"), np.uint8), k / 10)
    chosen = benchmark_clips.clips_set(tmp_path, 2)
    assert [item.name for item in chosen.items] == [f"clip-{k}-00{n}" for k in (0, 1) for n in range(4)]
    assert {item.person for item in chosen.items} == {"clip 0", "clip 1"} and chosen.rate == pytest.approx(10)
    levels = [item.picture().mean() for item in chosen.items]
    assert np.diff(levels[:4]).min() > 20 and levels[4] < 20, "frames in order, and each item its own"
    with pytest.raises(AssetError, match="no clips lie in this folder"):
        benchmark_clips.clips_set(tmp_path / "none", 2)
