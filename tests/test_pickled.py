"""Pickles are read without being run: arrays come out as they went in, everything else is refused by name."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from scipy import sparse

from likeness.assets import pickled
from likeness.errors import AssetError

ARRAYS = {
    "plain": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big_endian": np.arange(5, dtype=">f4"),
    "whole": np.array([[1, -2], [3, 4]], np.int64),
    "unsigned": np.array([0, 2**32 - 1], np.uint32),
    "truth": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.float64(2.5),
    "noughts": np.zeros((2, 0)),
}
PLAIN = {"text": "ä b", "bytes": b"\x00\xff", "none": None, "numbers": [1, -5, 2**70, 0.1, True], "pair": (1, ("a",)),
         "set": {1, 2}, "ordered": OrderedDict(a=1)}  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_values_come_back(protocol):
    found = pickled.loads(pickle.dumps({"arrays": ARRAYS, "plain": PLAIN}, protocol))
    assert found["plain"] == {**PLAIN, "ordered": {"a": 1}}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found["arrays"][name], array, err_msg=name)
        assert np.asarray(found["arrays"][name]).dtype == array.dtype.newbyteorder("="), name
    assert found["arrays"]["plain"].flags.c_contiguous and found["arrays"]["plain"].flags.writeable


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
def test_sparse_matrices_become_dense(protocol, kind):
    dense = np.zeros((4, 6))
    dense[[0, 0, 3], [1, 5, 2]] = 1.5, -2, 7
    found = pickled.loads(pickle.dumps({"J": getattr(sparse, f"{kind}_matrix")(dense)}, protocol))
    np.testing.assert_array_equal(found["J"], dense)


def test_arrays_of_objects_are_read_one_by_one():
    array = np.array([{"a": np.arange(3)}, "text"], object)
    found = pickled.loads(pickle.dumps(array))
    assert found.shape == (2,) and found[1] == "text"
    np.testing.assert_array_equal(found[0]["a"], [0, 1, 2])


def _text(value):
    """Python 2's BINSTRING."""
    data = value if isinstance(value, bytes) else value.encode("latin1")
    return b"T" + struct.pack("<i", len(data)) + data


def _old_array(array):
    """An array as Python 2 pickled it, protocol 2: bytes are text."""
    dtype = (
        b"cnumpy\ndtype\n"
        + b"("
        + _text(array.dtype.str[1:])
        + b"K\x00K\x01tR(K\x03"
        + _text("<")
        + b"NNNJ\xff\xff\xff\xff"
    )
    dtype += b"J\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + _text("b") + b"tR"
    return start + b"(K\x01" + shape + dtype + b"I00\n" + _text(array.tobytes()) + b"tb"


def _old_chumpy(array):
    """A chumpy array as FLAME's file has it: copy_reg makes it, a dict with x fills it."""
    made = b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR"
    state = (
        b"}("
        + _text("x")
        + _old_array(array)
        + _text("_dirty_vars")
        + b"c__builtin__\nset\n(]tR"
        + _text("_itr")
        + b"Nu"
    )
    return made + state + b"b"


def test_pickles_of_python_2_and_chumpy_arrays():
    array = np.arange(6.0).reshape(2, 3)
    data = b"\x80\x02}(" + _text("v") + _old_array(array) + _text("s") + _old_chumpy(2 * array) + b"u."
    found = pickled.loads(data)
    np.testing.assert_array_equal(found["v"], array)
    np.testing.assert_array_equal(found["s"], 2 * array)


class _Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/likeness-was-here",)


class _Opener:
    def __reduce__(self):
        return open, ("/tmp/likeness-was-here", "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(("what", "named"), [(_Evil(), "system"), (_Opener(), "open"), (io.StringIO, "StringIO")])
def test_whatever_is_not_an_array_is_refused_by_name(tmp_path, protocol, what, named):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"v_template": np.zeros((3, 3)), "more": what}, protocol))
    with pytest.raises(AssetError, match=f"model.pkl.*names.*{named}.*nothing in it was run"):
        pickled.read(path)
    assert not os.path.exists("/tmp/likeness-was-here")


@pytest.mark.parametrize("data", [
    b"\x80\x02cnumpy\nndarray\n(K\x03tR.",  # calls a type that may only be named
    b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8tR.",  # an encoder other than latin1
    b"\x80\x02}(K\x01K\x02ub.", b"\x80\x02K\x01Qt.", b"(i__main__\nX\n.", b"\x80\x02K\x01K\x02e.", b"\x80\x02tttt.",
    b"\x80\x02cscipy.sparse.csc\nos\n.",
])  # fmt: skip
def test_instructions_that_would_call_or_that_are_wrong(data):
    with pytest.raises(AssetError, match="nothing in it was run"):
        pickled.loads(data)


def test_every_truncation_is_one_clear_error():
    data = pickle.dumps({"a": np.arange(30.0), "s": sparse.csc_matrix(np.eye(3))}, 2)
    for length in range(len(data) - 1):
        with pytest.raises(AssetError, match="pickle"):
            pickled.loads(data[:length])


def test_a_sparse_matrix_that_would_fill_the_memory_is_refused():
    with pytest.raises(AssetError, match="sparse matrix of 100000000"):
        pickled.loads(pickle.dumps(sparse.coo_matrix(([1.0], ([0], [0])), (10**8, 10**8))))
    lying = sparse.csr_matrix(np.eye(2))
    lying.indptr = np.array([0, 2**31 - 1, 2**31 - 1], np.int64)
    with pytest.raises(AssetError, match="damaged pickle"):
        pickled.loads(pickle.dumps(lying))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AssetError, match="cannot be read"):
        pickled.read(tmp_path / "none.pkl")
