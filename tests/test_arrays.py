"""Some rows of many."""

import numpy as np
import pytest

from likeness.arrays import even


@pytest.mark.parametrize("count, most", [(10, 4), (100, 7), (5, 5), (2, 2), (977, 60)])
def test_rows_are_spread_evenly_from_the_first_to_the_last(count, most):
    rows = even(count, most)
    assert len(rows) == most and rows[0] == 0 and rows[-1] == count - 1
    assert np.ptp(np.diff(rows)) <= 1


def test_there_are_no_more_rows_than_there_are():
    assert even(3, 10).tolist() == [0, 1, 2] and even(7, 1).tolist() == [0]
    assert even(0, 5).shape == (0,) and even(5, 0).shape == (0,)
