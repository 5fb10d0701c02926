"""Kernels are compiled once, with a word to the user, and loaded from the cache afterwards."""

import os
import subprocess
import sys

SCRIPT = """
import numpy as np
from likeness.geometry.closest import closest_points
print(closest_points(np.zeros((1, 3)), np.eye(3), np.array([[0, 1, 2]])).distances[0])
"""


def run(cache):
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(cache))
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert abs(float(done.stdout) - 3**-0.5) < 1e-6
    return done.stderr


def test_the_first_call_says_that_it_compiles_and_the_second_finds_the_cache(tmp_path):
    assert run(tmp_path).count("compiling") == 1
    assert run(tmp_path) == ""
