"""Verification on pairs: what it answers where the truth is known."""

import numpy as np
import pytest

from likeness.evaluate.recognition import auc, best_threshold, dimensions, draw_pairs, verify, verify_scores


def crowd(people=30, shots=6, videos=2):
    who = np.repeat(np.arange(people), shots)
    return who, np.tile(np.arange(shots) % videos, people)


def test_pairs_are_balanced_across_occasions_and_folds_share_nobody():
    who, video = crowd()
    pairs = draw_pairs(who, video, seed=0, count=400)
    assert pairs.same.sum() * 2 == len(pairs.same) == 400 or pairs.same.sum() * 2 == len(pairs.same)
    assert (who[pairs.first] == who[pairs.second]).tolist() == pairs.same.tolist()
    assert (video[pairs.first] != video[pairs.second])[pairs.same].all() and (pairs.first != pairs.second).all()
    folds = [set(who[np.concatenate([pairs.first[pairs.fold == f], pairs.second[pairs.fold == f]])]) for f in range(10)]
    assert all(not a & b for i, a in enumerate(folds) for b in folds[:i]) and len(set().union(*folds)) > 25
    for f in range(10):
        assert pairs.same[pairs.fold == f].mean() == 0.5


def test_pairs_between_two_kinds_have_one_of_each():
    who, _ = crowd()
    photo = np.arange(len(who)) % 6 == 0
    pairs = draw_pairs(who, np.arange(len(who)), 0, 300, photo)
    assert photo[pairs.first].all() and not photo[pairs.second].any() and pairs.same.mean() == 0.5


def test_strangers_come_from_the_family_where_families_are_given():
    who, _ = crowd(40)
    pairs = draw_pairs(who, np.arange(len(who)), 0, 400, kin=who // 2)
    assert (who[pairs.first] // 2 == who[pairs.second] // 2).all() and pairs.same.mean() == 0.5
    folds = [set(who[pairs.first[pairs.fold == f]] // 2) for f in range(10)]
    assert all(not a & b for i, a in enumerate(folds) for b in folds[:i])


def test_few_people_are_refused():
    with pytest.raises(ValueError, match="12 people"):
        draw_pairs(np.arange(12), np.zeros(12), 0)


def test_a_perfect_recogniser_and_one_that_guesses():
    who, video = crowd(40)
    pairs, random = draw_pairs(who, video, 0), np.random.default_rng(0)
    perfect = verify(np.eye(40)[who] * random.uniform(0.1, 9, (len(who), 1)), pairs)
    assert perfect.accuracy == 1 and perfect.auc == 1 and perfect.found == 1
    guess = verify(random.normal(size=(len(who), 64)), pairs)
    assert abs(guess.accuracy - 0.5) < 0.06 and abs(guess.auc - 0.5) < 0.06 and guess.found < 0.06


def test_a_folds_threshold_comes_from_the_others():
    who, video = crowd()
    pairs = draw_pairs(who, video, 0)
    alike = np.where(pairs.same, 1.0, 0.0) + 10.0 * (pairs.fold == 3)  # fold 3 by itself could be told apart
    assert verify_scores(alike, pairs).accuracy == pytest.approx(0.95)


def test_area_and_threshold_agree_with_counting():
    random = np.random.default_rng(4)
    alike, same = np.round(random.normal(size=80), 1), random.random(80) < 0.4
    alike[same] += 1.5
    a, b = alike[same][:, None], alike[~same][None]
    assert auc(alike, same) == pytest.approx(((a > b) + 0.5 * (a == b)).mean())
    alike += random.normal(0, 1e-4, 80)
    best = max(((alike > limit) == same).mean() for limit in [*alike, alike.min() - 1])
    assert ((alike > best_threshold(alike, same)) == same).mean() == pytest.approx(best)


def test_dimensions_count_directions_that_vary_and_weigh_weak_ones_less():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(40, 6)))[0]
    even = random.normal(size=(4000, 6))
    assert dimensions(even @ basis.T) == pytest.approx(6, abs=0.05)  # whatever the coordinates are
    assert dimensions(3 * even @ basis.T) == pytest.approx(
        dimensions(even @ basis.T)
    )  # vectors count by their directions
    weak = even * [1, 1, 1, 0.1, 0.1, 0.1]
    assert 2.9 < dimensions(weak) < 3.5 < dimensions(even)
