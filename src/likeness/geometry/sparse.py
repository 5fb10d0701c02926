"""Matrices of which few entries are not zero, applied to the vertices of a mesh: numpy arrays and torch tensors alike."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import numpy as np

from likeness.arrays import namespace


@dataclass(frozen=True)
class Sparse:
    """A fixed (rows x columns) matrix by its entries, sorted by row, then column, each place once. Make one by `gathered`.

    Attributes:
        rows: (n,) int64.
        columns: (n,) int64.
        values: (n,) float64.
        shape: Number of rows and of columns.
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def gathered(cls, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Sparse:
        """The matrix of entries in any order, (n,) each; those of one place are added."""
        places, where = np.unique(np.asarray(rows, np.int64) * shape[1] + columns, return_inverse=True)
        total = np.bincount(where, np.asarray(values, np.float64), len(places))
        return cls(places // shape[1], places % shape[1], total, shape)

    def apply(self, values: Any) -> Any:
        """The product with every (columns, C) of a batch: (..., columns, C) -> (..., rows, C), in the dtype of `values`.

        Differentiable in `values`.
        """
        if values.shape[-2] != self.shape[1]:
            raise ValueError(
                f"values of shape {tuple(values.shape)} for a matrix {self.shape}; give (..., {self.shape[1]}, C)"
            )
        xp = namespace(values)
        flat = values.reshape(-1, *values.shape[-2:]).swapaxes(0, 1)
        flat = flat.reshape(self.shape[1], -1)
        product = self._numpy(flat) if xp is np else _product(xp).apply(flat, self)
        product = product.reshape(self.shape[0], -1, values.shape[-1]).swapaxes(0, 1)
        return product.reshape(*values.shape[:-2], self.shape[0], values.shape[-1])

    def scaled(self, factors: np.ndarray) -> Sparse:
        """Every row times its factor (rows,)."""
        return Sparse(self.rows, self.columns, self.values * np.asarray(factors, np.float64)[self.rows], self.shape)

    def transposed(self) -> Sparse:
        """Rows and columns exchanged."""
        return Sparse.gathered(self.columns, self.rows, self.values, self.shape[::-1])

    def _numpy(self, flat: np.ndarray) -> np.ndarray:
        """(columns, n) -> (rows, n): sums over runs of equal rows."""
        product = np.zeros((self.shape[0], flat.shape[1]), flat.dtype)
        if len(self.rows):
            starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
            terms = flat[self.columns] * self.values[:, None].astype(flat.dtype)
            product[self.rows[starts]] = np.add.reduceat(terms, starts, axis=0)
        return product

    def _tensor(self, values: Any) -> Any:
        """The matrix as a torch tensor of the dtype and device of `values`; made once for each."""
        key = (values.dtype, values.device)
        if key not in self._tensors:
            torch = namespace(values)
            starts = np.searchsorted(self.rows, np.arange(self.shape[0] + 1))
            indices = (torch.as_tensor(array, device=values.device) for array in (starts, self.columns))
            entries = torch.as_tensor(self.values, dtype=values.dtype, device=values.device)
            with warnings.catch_warnings():  # of this layout being new in torch
                warnings.simplefilter("ignore")
                self._tensors[key] = torch.sparse_csr_tensor(*indices, entries, self.shape, check_invariants=False)
        return self._tensors[key]

    @cached_property
    def _tensors(self) -> dict[Any, Any]:
        return {}

    @cached_property
    def _transposed(self) -> Sparse:
        return self.transposed()


@cache
def _product(torch: ModuleType) -> Any:
    """Matrix times tensor with a gradient: torch's own would transpose the matrix anew in every backward pass."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, flat: Any, matrix: Sparse) -> Any:
            ctx.matrix = matrix
            return matrix._tensor(flat) @ flat

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:
            return Product.apply(gradient, ctx.matrix._transposed), None

    return Product
