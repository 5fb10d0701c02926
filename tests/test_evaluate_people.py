"""Spread of identities over disjoint sets of a person's photos: which pairs count, and what the numbers are."""

import numpy as np
import pytest

from likeness.evaluate.people import fall, gather, nearer, outings, spread

PEOPLE = np.repeat(["a", "b", "c"], 6)
VIDEOS = np.tile(np.repeat(["0", "1", "2"], 2), 3)
FRAMES = np.tile(["0", "1"], 9)


def test_sets_are_disjoint_and_cover_each_person():
    for how in ("single", "across", "halves"):
        sets = gather(PEOPLE, VIDEOS, FRAMES, how)
        assert sorted(i for group in sets.photos for i in group) == list(range(18))
        assert all((PEOPLE[list(group)] == person).all() for person, group in zip(sets.people, sets.photos))
    assert gather(PEOPLE, VIDEOS, FRAMES, "across").photos[0] == (0, 2, 4)
    halves = gather(PEOPLE, VIDEOS, FRAMES, "halves")
    assert halves.videos[0] == {"0"} and halves.videos[1] == {"1", "2"}
    with pytest.raises(ValueError, match="thirds"):
        gather(PEOPLE, VIDEOS, FRAMES, "thirds")


def test_distances_by_hand():
    sets = gather(PEOPLE[:12], VIDEOS[:12], FRAMES[:12], "halves")
    found = spread(np.array([[0.0, 0], [3, 4], [10, 0], [10, 2]]), sets, apart=True)
    assert found.within == pytest.approx(np.sqrt((25 + 4) / 2)) and found.pairs == 2
    between = np.mean([100, 104, 49 + 16, 49 + 4])
    assert found.between == pytest.approx(np.sqrt(between)) and found.ratio == pytest.approx(
        found.within / found.between
    )
    doubled = spread(np.array([[0.0, 0], [3, 4], [10, 0], [10, 2]]), sets, True, 4 * np.eye(2))
    assert doubled.within == pytest.approx(2 * found.within)


def test_pairs_that_share_a_video_count_only_where_that_is_wanted():
    sets = gather(PEOPLE, VIDEOS, FRAMES, "single")
    estimates = np.random.default_rng(0).standard_normal((18, 3))
    assert spread(estimates, sets, apart=False).pairs == 3 * 15
    assert spread(estimates, sets, apart=True).pairs == 3 * 12


def test_area_under_the_curve():
    assert nearer(np.array([1.0, 2]), np.array([3.0, 4])) == 1
    assert nearer(np.array([3.0]), np.array([1.0, 5])) == 0.5 and nearer(np.array([2.0]), np.array([2.0])) == 0.5


def test_averaging_photos_of_independent_errors_falls_as_the_root():
    rng = np.random.default_rng(0)
    people, frames = np.repeat(np.arange(60), 8), np.tile(np.arange(8) % 2, 60)
    videos = np.tile(np.array(list("00112233")), 60)
    truth = rng.standard_normal((60, 5))
    codes = truth[people] + rng.standard_normal((480, 5))
    one, four = (gather(people, videos, frames, how) for how in ("single", "halves"))
    before = spread(codes, one, True)
    after = spread(np.stack([codes[list(group)].mean(0) for group in four.photos]), four, True)
    share, low, high = fall(before, after)
    assert share == pytest.approx(0.5, abs=0.06) and low < share < high and after.recognised > before.recognised


def test_outings_take_one_photo_of_each_video_and_a_stranger():
    for group, stranger in outings(PEOPLE, VIDEOS, 20):
        assert len(set(PEOPLE[group])) == 1 and sorted(VIDEOS[group]) == ["0", "1", "2"]
        assert PEOPLE[stranger] != PEOPLE[group[0]]
    assert outings(PEOPLE, VIDEOS, 5) == outings(PEOPLE, VIDEOS, 5)
