"""What our JSON files have in common: they say what they are and in which version, and their numbers are rounded."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from likeness.errors import AssetError


def opened(data: bytes, file: str, form: str, version: int) -> dict[str, Any]:
    """The document that a file of ours holds.

    Args:
        data: The file's bytes.
        file: Its usual name, for the message.
        form: What it must call itself.
        version: The newest that this program reads.

    Raises:
        AssetError: When it was written by a newer version.
        KeyError: When it is something else.
        ValueError: When it is no JSON.
    """
    document = json.loads(data)
    if document["format"] != form:
        raise KeyError("format")
    if document["version"] > version:
        raise AssetError(f"{file} has version {document['version']}; this program reads up to {version}: update it")
    return document


def numbers(values: Any, digits: int) -> Any:
    """An array as lists, rounded."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


def number(value: Any, digits: int) -> float | None:
    """A number, rounded; None where there is none, or one that is not finite, for which JSON has no word."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)
