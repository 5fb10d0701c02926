"""Identity scores from embeddings whose geometry is known."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from likeness.evaluate.identity import (
    Embeddings,
    cosine,
    earth_movers_distance,
    identity_scores,
    nearer_than_strangers,
    own_similarity,
    pair_similarities,
    recall,
)


def people(noise, count=40, photos=3, seed=0, names="photo"):
    """Photos of people whose embeddings scatter around the person's own direction."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(count, 64))
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), photos)
    vectors = centres[who] + noise * random.normal(size=(len(who), 64))
    return Embeddings(np.array([f"photo{i}" for i in range(len(who))]), who.astype(str), vectors)


@pytest.mark.parametrize("sizes", [(1, 1), (7, 7), (30, 113)])
def test_emd_agrees_with_scipy(sizes):
    random = np.random.default_rng(1)
    for _ in range(20):
        first, second = random.normal(0, 1, sizes[0]), random.normal(0.4, 2, sizes[1]).round(1)
        assert earth_movers_distance(first, second) == pytest.approx(wasserstein_distance(first, second))


def test_emd_is_a_distance_in_the_unit_of_its_numbers():
    values = np.random.default_rng(2).normal(size=50)
    assert earth_movers_distance(values, values) == 0
    assert earth_movers_distance(values, values + 0.25) == pytest.approx(0.25)
    assert earth_movers_distance(3 * values, 3 * values + 0.75) == pytest.approx(0.75)
    assert np.isnan(earth_movers_distance(values, []))


def test_cosine_does_not_ask_for_length():
    vectors = np.random.default_rng(3).normal(size=(5, 8))
    np.testing.assert_allclose(cosine(vectors, 7 * vectors), cosine(vectors, vectors))
    np.testing.assert_allclose(np.diag(cosine(vectors, vectors)), 1)


def test_pairs_are_counted_once():
    same, different = pair_similarities(people(0.1, count=4, photos=3))
    assert len(same) == 4 * 3 and len(different) == 12 * 11 // 2 - 12
    assert same.min() > different.max()


def test_recall_by_hand():
    vectors = np.array([[1, 0.0], [0.6, 0.8], [0.8, 0.6]])
    photos = Embeddings(np.array(["a1", "a2", "b1"]), np.array(["a", "a", "b"]), vectors)
    renderings = Embeddings(np.array(["a1", "b1"]), np.array(["a", "b"]), np.array([[1, 0.1], [0.1, 1.0]]))
    np.testing.assert_array_equal(recall(renderings, photos, 1), [1, 0])
    np.testing.assert_array_equal(recall(renderings, photos, 2), [1, 1])
    np.testing.assert_array_equal(recall(renderings, photos, 1, own=False), [0, np.nan])
    np.testing.assert_allclose(own_similarity(renderings, photos), np.diag(cosine(renderings.vectors, vectors[[0, 2]])))


def test_scores_get_worse_when_renderings_look_less_like_their_photos():
    photos = people(0.5)
    rows = [identity_scores(people(noise, seed=9), photos) for noise in (0.3, 1.0, 2.0, 8.0)]
    for name, sign in (("to same", 1), ("to different", -1), ("between", -1), ("top 1", -1), ("top 5", -1)):
        values = [row[name] for row in rows[1:]]
        assert (sign * np.diff(values) > 0).all(), (name, values)
    assert rows[0]["top 1"] == 100 and rows[3]["top 5"] < 30
    own = Embeddings(photos.names, photos.people, photos.vectors)
    assert np.nanmean(own_similarity(own, photos)) == pytest.approx(1)


def test_the_share_of_strangers_that_are_less_like():
    photos = Embeddings(
        np.array(["a", "b", "c", "a2"]), np.array(["A", "B", "C", "A"]), np.array([[1, 0], [0, 1], [1, 1], [1, 0.1]])
    )
    own = Embeddings(np.array(["a"]), np.array(["A"]), np.array([[1.0, 0.9]]))
    assert nearer_than_strangers(own, photos) == [0.5]  # c is more like it, b is less; a2 is no stranger
    same = Embeddings(np.array(["b", "lost"]), np.array(["B", "B"]), np.array([[1.0, 1.0], [1, 1]]))
    found = nearer_than_strangers(same, photos)
    assert found[0] == pytest.approx(0.5 / 3) and np.isnan(found[1])  # as like a as it is like b: half


def test_by_chance_half_of_the_strangers_are_less_like():
    random = np.random.default_rng(0)
    names, who = np.arange(300).astype(str), np.arange(300).astype(str)
    photos = Embeddings(names, who, random.normal(size=(300, 8)))
    found = nearer_than_strangers(Embeddings(names, who, random.normal(size=(300, 8))), photos)
    assert found.mean() == pytest.approx(0.5, abs=0.04)
    assert nearer_than_strangers(photos, photos).min() == 1
