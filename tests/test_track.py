"""Following faces: the largest first, cuts, losses short and long, doubles, and what is remembered of a frame."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from likeness.errors import NoFaceError
from likeness.photos.video import Frame
from likeness.runtime import track
from likeness.runtime.track import Tracker

RATE = 25


def run(images, system, times=None):
    """Feed pictures; returns what was tracked."""
    tracker = Tracker(system)
    for number, image in enumerate(images):
        tracker.feed(Frame(number, number / RATE if times is None else times[number], image))
    return tracker.finish()


def spans(tracked):
    return [[(stretch.first, stretch.last) for stretch in face] for face in tracked.faces]


def test_a_moving_face_is_one_face(toy_system, photo):
    tracked = run([photo((80 + 3 * i, 100 + i, 70)) for i in range(20)], toy_system)
    assert spans(tracked) == [[(0, 19)]] and tracked.cuts == () and tracked.size == (240, 320)
    sightings = tracked.faces[0][0].sightings
    np.testing.assert_allclose([s.detection.center[0] for s in sightings], 80 + 3 * np.arange(20), atol=1)
    assert sightings[3].landmarks.points.shape == (478, 2) and (sightings[3].landmarks.sigma > 0).all()
    np.testing.assert_allclose(tracked.times, np.arange(20) / RATE)


def test_the_one_that_is_there_largest_and_longest_comes_first(toy_system, photo):
    both = [photo((70, 100, 60), (220, 120, 80)) for _ in range(6)]
    left = [photo((70, 100, 60)) for _ in range(20)]
    assert spans(run(both + left, toy_system)) == [[(0, 25)], [(0, 5)]]
    assert spans(run(both, toy_system)) == [[(0, 5)], [(0, 5)]]
    tracked = run(both, toy_system)
    assert tracked.faces[0][0].sightings[0].detection.center[0] > 150


def test_a_face_missed_for_a_moment_is_followed(toy_system, photo):
    images = [photo((100 + 2 * i, 100, 70)) if i not in (5, 6, 7, 8) else photo() for i in range(15)]
    tracked = run(images, toy_system)
    assert spans(tracked) == [[(0, 14)]] and len(tracked.faces[0][0].sightings) == 11


def test_a_face_lost_for_longer_is_two_stretches_of_one_face(toy_system, photo):
    images = [photo((100, 100, 70)) if not 5 <= i < 20 else photo() for i in range(30)]
    assert spans(run(images, toy_system)) == [[(0, 4), (20, 29)]]


def test_time_and_not_the_number_of_frames_says_what_a_moment_is(toy_system, photo):
    images = [photo((100, 100, 70)), photo(), photo((100, 100, 70))]
    assert spans(run(images, toy_system, [0, 0.1, 0.2])) == [[(0, 2)]]
    assert spans(run(images, toy_system, [0, 0.3, 0.6])) == [[(0, 0), (2, 2)]]


def test_a_cut_parts_stretches_in_the_same_place(toy_system, photo):
    scene = photo((100, 100, 70))
    stripes = np.where(np.arange(320)[:, None] // 40 % 2, 35, 80).astype(np.uint8)
    other = np.where((scene == 120).all(-1, keepdims=True), stripes, scene)
    tracked = run([scene] * 6 + [other] * 6, toy_system)
    assert tracked.cuts == (6,) and spans(tracked) == [[(0, 5), (6, 11)]]


def test_light_and_camera_that_change_slowly_are_no_cut():
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (24, 40, 3)).astype(np.uint8)
    scene = np.kron(ground, np.ones((16, 16, 1), np.uint8))
    other = np.kron(rng.integers(0, 255, (24, 40, 3)).astype(np.uint8) // 3, np.ones((16, 16, 1), np.uint8))

    def looks(*images):
        return [track.appearance(image) for image in images]

    assert not track.is_cut(*looks(scene, np.roll(scene, 12, 1)))
    assert not track.is_cut(*looks(scene, (scene * 0.92).astype(np.uint8)))
    assert not track.is_cut(*looks(scene, np.clip(scene + rng.normal(0, 8, scene.shape), 0, 255).astype(np.uint8)))
    assert track.is_cut(*looks(scene, other))


def test_another_person_in_the_same_place_is_a_cut(toy_system, photo):
    """The ground stays; the identity jumps while the picture changes."""
    rng = np.random.default_rng(1)
    calls = []

    def encode(image, face):
        estimate = toy_system.encode(image, face)
        jump = 3.0 if len(calls) >= 15 else 0.0
        calls.append(jump)
        identity = estimate.codes["identity"] + jump + 0.05 * rng.normal(size=len(estimate.codes["identity"]))
        return SimpleNamespace(codes=estimate.codes | {"identity": identity}, view=estimate.view, crop=estimate.crop)

    first = [photo((100, 100, 70)) for _ in range(15)]
    second = [photo((100, 100, 70)) for _ in range(10)]
    for image in second:
        image[140:200, 160:310] = 90
    system = replace(toy_system, encode=encode)
    assert run(first + second, system).cuts == (15,)
    calls.clear()
    assert run(first + [photo((100, 100, 70))] * 10, system).cuts == ()  # nothing to be seen but a doubtful code


def test_a_doubtful_face_counts_where_it_is_expected(toy_system, photo):
    """The toy finder's score is the place from left to right; a threshold of a half hides the left one."""

    def find(image, min_face, min_score):
        return toy_system.find(image, min_face, 0.5 if min_score is None else min_score)

    system = replace(toy_system, find=find)
    images = [photo((190 - 4 * i, 100, 70)) for i in range(20)]
    assert spans(run(images, system)) == [[(0, 19)]]
    with pytest.raises(NoFaceError, match="any frame"):
        run([photo((100, 100, 70))] * 5, system)
