"""Boxes from landmarks, maps to boxes, tiles, suppression; and the finder that ships on a real photo."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from likeness.errors import AssetError, PhotoError
from likeness.photos.detect import (
    LOOK,
    LOOK_FACE,
    SIDE,
    SMALLEST,
    STRIDE,
    UNIT,
    Detection,
    Tile,
    convincing,
    cut,
    decode,
    face_frame,
    look_again,
    look_window,
    overlap_ratio,
    square,
    suppress,
    tiles,
    triage,
)
from likeness.runtime import detect


def _landmarks(random: np.random.Generator) -> np.ndarray:
    """Points in an upright box 80 wide and 100 high around (0, 0), eye corners level."""
    points = random.uniform(-1, 1, (478, 2)) * [40, 50]
    points[0], points[1], points[33], points[263] = (-40, -50), (40, 50), (-30, -10), (30, -10)
    return points


@pytest.mark.parametrize("roll", [0.0, 0.5, -0.7])
def test_face_frame_turns_with_the_face(roll):
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    center, side, found = face_frame(_landmarks(np.random.default_rng(0)) @ turn.T + [200, 300])
    assert center == pytest.approx([200, 300]) and side == pytest.approx(100) and found == pytest.approx(roll)


def _answer(x: float, y: float, side: float, roll: float, cells: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a network that sees one face in a window."""
    score, geometry = np.zeros((cells, cells), np.float32), np.zeros((5, cells, cells), np.float32)
    row, column = int(y / STRIDE), int(x / STRIDE)
    score[row, column], score[row, column - 1] = 0.9, 0.6
    values = x / STRIDE - column - 0.5, y / STRIDE - row - 0.5, math.log(side / UNIT), math.cos(roll), math.sin(roll)
    geometry[:, row, column] = values
    return score, geometry


def test_decode_gives_the_peak_in_photo_pixels():
    tile = Tile(scale=0.25, corner=(80, 40), size=(SIDE, SIDE))
    found = decode(*_answer(101.0, 75.0, 50.0, -0.4), tile, 0.3)
    assert found == pytest.approx(np.array([[(101 + 80) * 4, (75 + 40) * 4, 200, -0.4, 0.9]]), rel=1e-4)


def test_decode_ignores_the_padding():
    assert len(decode(*_answer(101.0, 75.0, 50.0, 0.0), Tile(1.0, (0, 0), (70, 320)), 0.3)) == 0


def test_suppress_keeps_the_best_of_each_face():
    rows = [[100, 100, 50, 0, 0.6], [104, 98, 52, 0, 0.9], [300, 100, 50, 0, 0.5], [300, 100, 20, 0, 0.8]]
    rows = np.array(rows, float)
    assert suppress(rows)[:, 4].tolist() == [0.9, 0.8]
    assert len(suppress(np.zeros((0, 5)))) == 0


def test_overlap_ratio():
    assert overlap_ratio((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap_ratio((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_one_tile_by_default():
    assert tiles((480, 640)) == [Tile(0.5, (0, 0), (240, 320))]


@pytest.mark.parametrize("size, min_face", [((960, 1280), 10.0), ((700, 500), 15.0), ((300, 4000), 40.0)])
def test_tiles_show_every_wanted_face_whole_and_large_enough(size, min_face):
    found = tiles(size, min_face)
    random = np.random.default_rng(0)
    smallest = min_face * max(size) / 640
    for _ in range(300):
        side = math.exp(random.uniform(math.log(smallest), math.log(min(size))))
        x, y = random.uniform(side / 2, size[1] - side / 2), random.uniform(side / 2, size[0] - side / 2)
        seen = [
            tile
            for tile in found
            if side * tile.scale >= SMALLEST * 0.99
            and all(
                low - 1 <= (c - side / 2) * tile.scale and (c + side / 2) * tile.scale <= low + length + 1
                for c, low, length in ((x, tile.corner[0], tile.size[1]), (y, tile.corner[1], tile.size[0]))
            )
        ]
        assert seen, (x, y, side)


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (33, 500), (320, 320), (2000, 3000)])
def test_tiles_of_any_size_can_be_cut(size):
    image = np.full((*size, 3), 200, np.uint8)
    for tile in tiles(size, 20.0)[:12]:
        window = cut(image, tile)
        assert window.shape[0] % 32 == window.shape[1] % 32 == 0 and max(window.shape) <= SIDE
        assert (window[: tile.size[0], : tile.size[1]] == 200).all()


def test_fine_tile_shows_the_right_place():
    image = np.zeros((900, 1200, 3), np.uint8)
    cv2.circle(image, (803, 407), 25, (255, 255, 255), -1)
    tile = next(
        t
        for t in tiles(image.shape[:2], 20.0)[1:]
        if t.corner[0] < 770 * t.scale
        and 840 * t.scale < t.corner[0] + t.size[1]
        and t.corner[1] < 370 * t.scale
        and 440 * t.scale < t.corner[1] + t.size[0]
    )
    rows, columns = np.nonzero(cut(image, tile)[..., 0] > 127)
    middle = (np.array([columns.mean(), rows.mean()]) + 0.5 + tile.corner) / tile.scale
    assert middle == pytest.approx([803.5, 407.5], abs=0.6)


@pytest.mark.parametrize("side", [40.0, 300.0])
def test_second_look_is_upright_and_leads_back(side):
    """A square with one dark half, turned by 0.6: the window shows it upright, and its answer leads to the photo."""
    photo, row = np.zeros((600, 500, 3), np.uint8), np.array([260.0, 310.0, side, 0.6, 0.4])
    turn = np.array([[math.cos(0.6), -math.sin(0.6)], [math.sin(0.6), math.cos(0.6)]])
    half = np.array([[-1, -1], [0, -1], [0, 1], [-1, 1]]) * side / 2 @ turn.T + row[:2]
    cv2.fillConvexPoly(photo, np.rint(half * 16).astype(np.int32), (255, 255, 255), cv2.LINE_AA, 4)
    window, back = look_window(photo, row)
    bright = window[..., 0] > 127
    rows, columns = np.nonzero(bright)
    assert bright.sum() == pytest.approx(LOOK_FACE**2 / 2, rel=0.15)
    assert columns.max() == pytest.approx(LOOK / 2, abs=2.6) and np.ptp(rows) == pytest.approx(LOOK_FACE, abs=3)
    score, geometry = _answer(85.0, 78.0, 70.0, 0.1, LOOK // STRIDE)
    found = look_again(row, score, geometry, back)
    expected = turn @ ([5.0, -2.0] * np.array(side / LOOK_FACE)) + row[:2]
    assert found == pytest.approx([*expected, 70 * side / LOOK_FACE, 0.7, (0.4 + 2 * 0.9) / 3], rel=1e-4)


def test_triage():
    rows = np.array([[0, 0, 9, 0.0, 0.9], [0, 0, 9, 0.8, 0.8], [0, 0, 9, 0, 0.5], [0, 0, 9, 0, 0.3]])
    sure, doubtful = triage(rows)
    assert sure[:, 4].tolist() == [0.9] and doubtful[:, 4].tolist() == [0.8, 0.5]
    assert triage(rows[2:])[1][:, 4].tolist() == [0.5, 0.3]  # where nothing is sure, less will do


def test_vague_answers_beside_a_clear_face_are_dropped():
    rows = np.array([[0, 0, 9, 0.0, 0.9], [0, 0, 9, 0, 0.6], [0, 0, 9, 0, 0.5]])
    assert convincing(rows, 0.4)[:, 4].tolist() == [0.9, 0.6] and convincing(rows[2:], 0.4)[:, 4].tolist() == [0.5]
    assert len(convincing(rows[2:], 0.55)) == len(convincing(rows[:0], 0.4)) == 0


def test_second_look_that_sees_nothing_counts_as_zero():
    row = np.array([50.0, 50.0, 40.0, 0.0, 0.6])
    _, back = look_window(np.zeros((100, 100, 3), np.uint8), row)
    elsewhere = _answer(20.0, 20.0, 70.0, 0.0, LOOK // STRIDE)
    assert look_again(row, *elsewhere, back) == pytest.approx([50, 50, 40, 0, 0.2])


def test_detection_center_and_side():
    found = Detection(square((10, 20), 8), 0.1, 0.9)
    assert found.box == (6, 16, 14, 24) and found.center == (10, 20) and found.side == 8


def test_missing_damaged_and_other_models_are_one_clear_line_each(tmp_path):
    missing, damaged, other = (
        tmp_path / "nothing.onnx",
        tmp_path / "damaged.onnx",
        detect.MODEL.with_name("regressor.onnx"),
    )
    damaged.write_bytes(detect.MODEL.read_bytes()[:5000])
    for path, words in ((missing, "no such file"), (damaged, "damaged"), (other, "another graph")):
        with pytest.raises(AssetError) as error:
            detect.Finder(path)
        assert str(error.value).startswith(f"{path}: {words}") and str(error.value).endswith(
            "; a face finder is needed"
        )


astronaut = pytest.importorskip("skimage.data", reason="scikit-image comes with [demo]").astronaut


@pytest.mark.parametrize("degrees", [0, 30, -30])
def test_the_astronaut_is_found(degrees):
    """Eileen Collins's face: eyes near (201, 110) and (248, 108) of 512 px, chin near y = 160."""
    photo = astronaut()
    matrix = cv2.getRotationMatrix2D((222, 120), -degrees, 1.0)  # OpenCV's angle is counter-clockwise
    found = detect.find_faces(cv2.warpAffine(photo, matrix, (512, 512)))
    assert degrees or len(found) == 1  # turned by warping, her badge may look like a face too
    assert found[0].center == pytest.approx((223, 117), abs=12) and 75 < found[0].side < 125
    assert math.degrees(found[0].roll) == pytest.approx(degrees, abs=10)


def test_small_faces_are_found_in_tiles():
    canvas = np.full((1280, 1280, 3), 120, np.uint8)
    small = cv2.resize(astronaut()[:256, 90:346], (100, 100), interpolation=cv2.INTER_AREA)
    canvas[900:1000, 700:800] = small
    found = detect.find_faces(canvas, min_face=15.0)
    assert any(np.hypot(f.center[0] - 752, f.center[1] - 945) < 8 for f in found)


def test_wrong_array_is_refused():
    with pytest.raises(PhotoError, match="uint8"):
        detect.find_faces(np.zeros((10, 10), np.uint8))


def test_no_face_in_an_even_picture():
    assert detect.find_faces(np.full((400, 600, 3), 128, np.uint8)) == []
