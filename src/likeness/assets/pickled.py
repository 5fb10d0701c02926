"""Numbers out of a pickle without running it.

A pickle is a program for a small stack machine, and Python's own reader runs whatever function it names. This one knows a
fixed list of names and builds plain values itself: numbers, text, containers, numpy arrays, the arrays inside `chumpy`
objects and scipy's sparse matrices (as dense arrays). Any other name, and every instruction that would call something, is
refused by name. The layout of the instructions is that of the standard library's `pickletools`; those of numpy arrays
are seen in `numpy.ndarray.__reduce__`, those of chumpy in `Ch.__getstate__` (github.com/mattloper/chumpy).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from likeness.errors import AssetError

LARGEST = 1 << 28
"""Elements of the largest dense array that a sparse matrix may become."""


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle speaks of; nothing is imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class _Thing:
    """An object under construction: what it is, what it was made with and what was put into it."""

    kind: str
    made_with: tuple = ()
    state: Any = None


class _Refused(Exception):
    """A pickle that holds what this reader does not take."""


class _Mark:
    """The stack machine's mark."""


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def since_mark(self) -> list[Any]:
        """What lies above the last mark, taken off the stack together with it."""
        place = max(k for k, value in enumerate(self.stack) if value is _Mark)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def take(self, count: int) -> list[Any]:
        """The last values, taken off the stack."""
        if count > len(self.stack):
            raise _Refused("it takes more from its stack than there is")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items


def read(path: Path) -> Any:
    """The value of a pickle file.

    Raises:
        AssetError: When the file cannot be read, is damaged, or holds anything else than numbers, text and containers.
    """
    try:
        return loads(Path(path).read_bytes())
    except OSError as error:
        raise AssetError(f"{path}: cannot be read ({error.strerror})") from None
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None


def loads(data: bytes) -> Any:
    """The value that the bytes of a pickle describe; see `read`."""
    machine = _Machine()
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name == "STOP":
                (value,) = machine.stack
                return _finished(value, {})
            _step(machine, code.name, argument)
        raise _Refused("it ends early")
    except _Refused as error:
        raise AssetError(f"not a pickle of arrays: {error}; nothing in it was run") from None
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, RecursionError) as error:
        raise AssetError(f"damaged pickle ({error}); nothing in it was run") from None


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _step(machine: _Machine, name: str, argument: Any) -> None:
    """One instruction that makes or moves values; those about objects are in `_object_step`."""
    stack = machine.stack
    if name in ("PROTO", "FRAME"):
        return
    if name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _LITERALS:
        stack.append(argument)
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in _TUPLES:
        stack.append(tuple(machine.take(_TUPLES[name])))
    elif name == "MARK":
        stack.append(_Mark)
    elif name in ("TUPLE", "LIST", "FROZENSET"):
        stack.append({"TUPLE": tuple, "LIST": list, "FROZENSET": frozenset}[name](machine.since_mark()))
    elif name == "DICT":
        stack.append(_pairs(machine.since_mark()))
    elif name in ("APPEND", "APPENDS"):
        items = machine.take(1) if name == "APPEND" else machine.since_mark()
        _like(stack[-1], list).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = machine.take(2) if name == "SETITEM" else machine.since_mark()
        _like(stack[-1], dict).update(_pairs(items))
    elif name == "ADDITEMS":
        items = machine.since_mark()
        _like(stack[-1], set).update(items)
    elif name == "POP":
        machine.take(1)
    elif name == "POP_MARK":
        machine.since_mark()
    elif name == "DUP":
        stack.append(stack[-1])
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        machine.memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        machine.memo[len(machine.memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(machine.memo[argument])
    else:
        _object_step(machine, name, argument)


def _object_step(machine: _Machine, name: str, argument: Any) -> None:
    """An instruction about objects: names are looked up in the list, and no name is ever called."""
    stack = machine.stack
    if name == "GLOBAL":
        stack.append(_allowed(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        module, attribute = machine.take(2)
        stack.append(_allowed(str(module), str(attribute)))
    elif name in ("REDUCE", "NEWOBJ"):
        what, arguments = machine.take(2)
        stack.append(_made(what, arguments))
    elif name == "BUILD":
        (state,) = machine.take(1)
        if not isinstance(stack[-1], _Thing):
            raise _Refused(f"it fills a {type(stack[-1]).__name__}")
        stack[-1].state = state
    else:
        raise _Refused(f"it has the instruction {name}")


_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_KINDS = {
    ("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): "dtype", ("_codecs", "encode"): "encode",
    ("chumpy.ch", "Ch"): "Ch", ("chumpy", "Ch"): "Ch", ("chumpy.reordering", "Select"): "Select",
    ("copy_reg", "_reconstructor"): "reconstructor", ("copyreg", "_reconstructor"): "reconstructor",
    ("__builtin__", "object"): "object", ("builtins", "object"): "object",
    ("__builtin__", "bytes"): "bytes", ("__builtin__", "set"): "set", ("builtins", "set"): "set",
    ("collections", "OrderedDict"): "OrderedDict",
}  # fmt: skip
_KINDS |= {(module, "_reconstruct"): "array" for module in _ARRAY_MODULES}
_KINDS |= {(module, "scalar"): "scalar" for module in _ARRAY_MODULES}
_KINDS |= {(module, "_frombuffer"): "frombuffer" for module in ("numpy.core.numeric", "numpy._core.numeric")}
_SPARSE = {f"{kind}_{what}": kind for kind in ("csc", "csr", "coo") for what in ("matrix", "array")}


def _allowed(module: str, name: str) -> _Name:
    """The name, if it is one of those that stand for numbers."""
    if (module, name) not in _KINDS and not (module.startswith("scipy.sparse") and name in _SPARSE):
        raise _Refused(f"it names {module}.{name}")
    return _Name(module, name)


def _kind(name: Any) -> str:
    if not isinstance(name, _Name):
        raise _Refused(f"it calls a {type(name).__name__}")
    return _KINDS.get((name.module, name.name)) or _SPARSE[name.name]


def _made(what: Any, arguments: Any) -> Any:
    """What a call would have made: a thing to be filled later, or a plain value."""
    kind = _kind(what)
    arguments = _like(arguments, tuple)
    if kind == "reconstructor":
        kind = _kind(arguments[0])
        if kind in ("Ch", "Select", *_SPARSE.values()) and _kind(arguments[1]) == "object":
            return _Thing(kind)
    elif kind in ("array", "frombuffer", "dtype", "scalar", "Ch", "Select", *_SPARSE.values()):
        return _Thing(kind, arguments)
    elif kind == "encode" and arguments[1:] == ("latin1",):
        return arguments[0].encode("latin1")
    elif kind == "bytes" and arguments == ():
        return b""
    elif kind == "set":
        return set(arguments[0]) if arguments else set()
    elif kind == "OrderedDict":
        return _pairs([x for pair in arguments[0] for x in pair]) if arguments else {}
    raise _Refused(f"it calls {what}")


def _finished(value: Any, done: dict[int, Any]) -> Any:
    """The value with every thing in it turned into an array."""
    if isinstance(value, _Thing):
        if id(value) not in done:
            done[id(value)] = _FINISH[value.kind](value, done)
        return done[id(value)]
    if isinstance(value, dict):
        return {_finished(key, done): _finished(item, done) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_finished(item, done) for item in value)
    if isinstance(value, _Name):
        return str(value)
    return value


def _dtype(value: Any, done: dict[int, Any]) -> np.dtype:
    """A dtype from what it was made with ("f8", ...) and its state (version, byte order, ...)."""
    dtype = np.dtype(_text(value.made_with[0]))
    order = _text(value.state[1]) if value.state else "|"
    if dtype.hasobject and dtype != np.dtype(object) or dtype.names:
        raise _Refused(f"it holds an array of {dtype}")
    return dtype.newbyteorder(order) if order in "<>" else dtype


def _array(value: _Thing, done: dict[int, Any]) -> np.ndarray:
    """An array from its state: version, shape, dtype, whether in Fortran's order, bytes or a list of objects."""
    if value.state is None:
        raise _Refused("it has an array without content")
    shape, dtype, fortran, content = value.state[-4:]
    dtype, order = _finished(dtype, done), "F" if fortran else "C"
    if dtype == np.dtype(object):
        filled = np.empty(len(content), object)
        filled[:] = [_finished(item, done) for item in content]
        return filled.reshape(shape, order=order)
    return np.frombuffer(_bytes(content), dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def _from_buffer(value: _Thing, done: dict[int, Any]) -> np.ndarray:
    content, dtype, shape, order = value.made_with
    dtype = _finished(dtype, done)
    return np.frombuffer(_bytes(content), dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def _scalar(value: _Thing, done: dict[int, Any]) -> Any:
    dtype, content = value.made_with
    return np.frombuffer(_bytes(content), _finished(dtype, done))[0].item()


def _sparse(value: _Thing, done: dict[int, Any]) -> np.ndarray:
    """A sparse matrix as a dense array."""
    state = _finished(value.state, done)
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape")))
    if np.prod(shape, dtype=float) > LARGEST:
        raise _Refused(f"it has a sparse matrix of {shape[0]} x {shape[1]}")
    data = state["data"]
    if value.kind == "coo":
        rows, columns = (state["row"], state["col"]) if "row" in state else state["coords"]
    else:
        lengths = np.diff(state["indptr"])
        if lengths.sum() != len(data) or (lengths < 0).any():
            raise ValueError("the rows of a sparse matrix do not add up")
        major = np.repeat(np.arange(len(lengths)), lengths)
        rows, columns = (major, state["indices"]) if value.kind == "csr" else (state["indices"], major)
    dense = np.zeros(shape, data.dtype)
    np.add.at(dense, (rows, columns), data)
    return dense


def _chumpy(value: _Thing, done: dict[int, Any]) -> np.ndarray:
    """The numbers of a chumpy array, whose state is a dict with `x`; a selection has `a`, `idxs`, `preferred_shape`."""
    state = _like(_finished(value.state, done), dict)
    if value.kind == "Ch":
        return np.asarray(state["x"])
    chosen = np.ravel(state["a"])[np.asarray(state["idxs"])]
    return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen


_FINISH = {
    "dtype": _dtype, "array": _array, "frombuffer": _from_buffer, "scalar": _scalar, "Ch": _chumpy, "Select": _chumpy,
    "csc": _sparse, "csr": _sparse, "coo": _sparse,
}  # fmt: skip


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _like(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _Refused(f"it treats a {type(value).__name__} as a {kind.__name__}")
    return value


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    """Bytes; pickles of Python 2 hold them as text."""
    return value.encode("latin1") if isinstance(value, str) else bytes(value)
