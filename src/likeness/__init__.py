"""Likeness: from a photo to a textured, animatable 3D face."""

from __future__ import annotations

__version__ = "0.1.0"
