"""A topology for face models that bring none: outward triangles, symmetry, a chart that looks like a face from the front."""

from dataclasses import replace

import numpy as np
import pytest

from likeness.assets import toy
from likeness.assets.outside import OutsideModel
from likeness.assets.topology import known_landmarks, topology
from likeness.errors import AssetError


@pytest.fixture(scope="module")
def model():
    """The toy head's skin as a model of others, a little off the middle, with all 68 landmarks at vertices."""
    head = toy.head()
    skin = head.topology("base")
    landmarks = skin.landmarks["68"].vertices[:, 0].astype(np.int32)
    return OutsideModel("toy", "", head.mean + [4, 0, 0], head.identity, head.expression, skin.faces, "weight",
                        landmarks68=landmarks), skin  # fmt: skip


def test_symmetry_is_found_off_the_middle_too(model):
    outside, skin = model
    found = topology(outside).mirror
    assert (found == skin.mirror).mean() > 0.95  # some vertices share a place
    image = outside.mean[found] * [-1, 1, 1] + [8, 0, 0]
    assert np.linalg.norm(image - outside.mean, axis=-1).max() < 1e-3


def test_symmetry_is_found_where_one_side_has_more_vertices():
    """The median of x is then off the plane of symmetry, and comes to it in rounds."""
    random = np.random.default_rng(0)
    left = random.uniform(0, 1, (300, 3)) * [70, 200, 100]
    more = left[:60] + random.normal(size=(60, 3))
    mean = np.concatenate([left, left * [-1, 1, 1], more]) + [3, 0, 0]
    faces = np.array([[0, 1, 2, -1]], np.int32)
    empty = np.zeros((0, len(mean), 3))
    found = topology(OutsideModel("x", "", mean, empty, empty, faces)).mirror
    assert (found[:300] == np.arange(300, 600)).all() and (found[600:] >= 300).all() and (found[600:] < 600).all()


def test_the_chart_looks_like_a_face_from_the_front(model):
    found = topology(model[0])
    uv = found.landmarks["68"].points(found.uv)
    assert uv[45, 0] > uv[30, 0] > uv[36, 0] and uv[8, 1] > uv[57, 1] > uv[30, 1] > uv[27, 1]
    assert 0 <= found.uv.min() and found.uv.max() <= 1 and found.uv.dtype == np.float32
    np.testing.assert_array_equal(found.triangles, model[1].triangles)


def test_only_known_landmarks_are_given(model):
    table = model[0].landmarks68.copy()
    table[:17] = -1
    some = replace(model[0], landmarks68=table)
    numbers, places = known_landmarks(some)
    assert numbers.tolist() == list(range(17, 68)) and "68" not in topology(some).landmarks
    np.testing.assert_array_equal(places.points(some.mean), some.mean[table[17:]])
    assert len(known_landmarks(replace(some, landmarks68=None))[0]) == 0


def test_a_model_without_faces_cannot_be_drawn(model):
    with pytest.raises(AssetError, match="no faces"):
        topology(replace(model[0], faces=np.zeros((0, 4), np.int32)))
