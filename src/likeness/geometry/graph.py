"""Deformation graphs: a few nodes on a surface that move all of it.

Sumner, Schmid and Pauly 2007, "Embedded deformation for shape manipulation", sec. 3, with distances along the surface.
Mallikarjun et al. 2021, eq. 2, learn shapes of 521 such nodes: `M = U M_g`, U being `Graph.upsampling`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from likeness.geometry.mesh import edges
from likeness.geometry.sparse import Sparse
from likeness.kernels import kernel

NODES = 521
"""Mallikarjun et al. 2021, sec. 3.1."""
NEAREST = 4
"""Nodes that move a vertex (Sumner et al. 2007, sec. 3.4)."""


@dataclass(frozen=True)
class Graph:
    """Nodes on a surface.

    Attributes:
        nodes: (G,) int64 the vertices at which they lie, in order of their choice: any first so many cover the surface.
        upsampling: U, (V, G), four weights a row that sum to one; `upsampling.apply` takes what nodes have to vertices.
        edges: (E, 2) int64 pairs of neighbours, smaller first, sorted: their parts of the surface touch.
        distances: (V,) from each vertex to its nearest node along the surface, in the mesh's unit; infinite for vertices
            in no triangle, which follow the node that is nearest through the air.
        mirror: (G,) int64; node `mirror[i]` is the mirror image of node i. None without symmetry.
    """

    nodes: np.ndarray
    upsampling: Sparse
    edges: np.ndarray
    distances: np.ndarray
    mirror: np.ndarray | None = None


def build(
    vertices: np.ndarray,
    triangles: np.ndarray,
    count: int = NODES,
    mirror: np.ndarray | None = None,
    nearest: int = NEAREST,
) -> Graph:
    """Spread nodes over a surface evenly, and share every vertex among the nodes around it.

    Every node is put where the surface is furthest from those before it (Gonzalez 1985), so that every piece of a surface
    in several pieces has one. No chance is involved.

    Args:
        vertices: (V, 3), any unit.
        triangles: (T, 3).
        count: G, from the number of pieces to the number of vertices.
        mirror: (V,) a topology's left-right permutation; then nodes are chosen in pairs and on the plane of symmetry, and
            U is symmetric as far as the surface is.
        nearest: Nodes that move a vertex.

    Raises:
        ValueError: When there are fewer vertices in triangles than nodes, or fewer nodes than pieces.
    """
    vertices = np.ascontiguousarray(vertices, np.float64)
    used = np.unique(triangles)
    if not 0 < count <= len(used):
        raise ValueError(f"{count} nodes on a surface of {len(used)} vertices")
    ways = _ways(vertices, np.asarray(triangles, np.int64))
    nodes, distances = _spread(vertices, ways, used, count, mirror)
    if np.isinf(distances[used]).any():
        raise ValueError(f"{count} nodes are fewer than the surface has pieces")
    owners, lengths = _around(*ways, nodes, nearest + 1)
    lost = np.flatnonzero(owners[:, 0] < 0)
    owners[lost, 0] = [((vertices[nodes] - place) ** 2).sum(1).argmin() for place in vertices[lost]]
    lengths[lost, 0] = 0
    place = np.full(len(vertices), -1)
    place[nodes] = np.arange(count)
    return Graph(
        nodes=nodes,
        upsampling=_upsampling(owners, lengths, count),
        edges=_neighbours(owners[:, 0], edges(triangles)),
        distances=distances,
        mirror=None if mirror is None else place[np.asarray(mirror)[nodes]],
    )


def _ways(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps along the surface as starts (V + 1,), ends and lengths: edges, and straight across the edge of two triangles.

    With edges alone, distances on a grid of quads would be up to 1.4 times too long against the diagonals.
    """
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    across = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    order = np.lexsort(np.sort(sides, 1).T)
    sides, across = np.sort(sides, 1)[order], across[order]
    twins = np.flatnonzero((sides[1:] == sides[:-1]).all(1))
    pairs = np.concatenate([sides, np.stack([across[twins], across[twins + 1]], 1)])
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort(both.T[::-1])]
    lengths = np.linalg.norm(vertices[both[:, 0]] - vertices[both[:, 1]], axis=1)
    return np.searchsorted(both[:, 0], np.arange(len(vertices) + 1)), both[:, 1].copy(), lengths


def _spread(
    vertices: np.ndarray, ways: tuple, used: np.ndarray, count: int, mirror: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (count,), and the distance (V,) of every vertex to the nearest of them."""
    itself = np.arange(len(vertices))
    mirror = itself if mirror is None else np.asarray(mirror, np.int64)
    distances, open_ = np.full(len(vertices), np.inf), np.zeros(len(vertices), bool)
    open_[used] = True
    plane = used[mirror[used] == used]
    middle = vertices[used].mean(0)
    first = ((vertices[used] - middle) ** 2).sum(1).argmin()  # where the surface is nearest to its own middle
    nodes, following = [], int(used[first])
    while len(nodes) < count:
        chosen = following
        if mirror[chosen] != chosen and (free := plane[open_[plane]]).size:
            # two nodes nearer to each other than to all others would be one too many; and the last one has no twin
            twin = np.linalg.norm(vertices[chosen] - vertices[mirror[chosen]])
            between = free[((vertices[free] - vertices[chosen]) ** 2).sum(1).argmin()]
            if len(nodes) + 1 == count:
                chosen = int(free[distances[free].argmax()])
            elif nodes and twin < distances[chosen] < 2 * distances[between]:
                chosen = int(between)
        for node in dict.fromkeys((chosen, int(mirror[chosen]))):
            if len(nodes) < count:
                nodes.append(node)
                open_[node] = False
                _reach(*ways, node, distances)
        following = int(np.where(open_, distances, -1).argmax())
    return np.array(nodes), distances


def _upsampling(owners: np.ndarray, lengths: np.ndarray, count: int) -> Sparse:
    """Weights (1 - d / d_max)^2 over their sum, d_max being the distance of the first node that no longer counts.

    Sumner et al. 2007, eq. 8: a node's influence ends where another one takes its place, without a step.
    """
    some = owners[:, :-1] >= 0
    furthest = np.where(some, lengths[:, :-1], 0).max(1)
    reach = np.where(owners[:, -1] >= 0, lengths[:, -1], 1.5 * furthest)[:, None]
    ratio = np.where(some, lengths[:, :-1], 0) / np.where(reach > 0, reach, 1)
    weights = np.where(some, (1 - ratio) ** 2, 0)
    total = weights.sum(1, keepdims=True)  # zero only where all are equally far, and then all count the same
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), some / some.sum(1, keepdims=True))
    rows, places = np.nonzero(weights)
    return Sparse.gathered(rows, owners[rows, places], weights[rows, places], (len(owners), count))


def _neighbours(owner: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Pairs of nodes (E, 2) that are nearest to the two ends of an edge of the mesh."""
    joined = np.sort(owner[pairs], 1)
    return np.unique(joined[joined[:, 0] != joined[:, 1]], axis=0)


@kernel
def _reach(starts, ends, lengths, source, distances):
    """Lower the distances that are longer than from this source (Dijkstra 1959, stopped where another is nearer)."""
    distances[source] = 0.0
    heap = [(0.0, source)]
    while heap:
        here, vertex = heapq.heappop(heap)
        if here > distances[vertex]:
            continue
        for k in range(starts[vertex], starts[vertex + 1]):
            there = here + lengths[k]
            if there < distances[ends[k]]:
                distances[ends[k]] = there
                heapq.heappush(heap, (there, ends[k]))


@kernel
def _around(starts, ends, lengths, nodes, count):
    """The nearest nodes (V, count) of every vertex, nearest first, -1 where there are no more, and their distances."""
    vertices = len(starts) - 1
    owners = np.full((vertices, count), -1, np.int64)
    found = np.full((vertices, count), np.inf)
    filled = np.zeros(vertices, np.int64)
    heap = [(0.0, np.int64(0), nodes[0])]
    for node in range(1, len(nodes)):
        heap.append((0.0, np.int64(node), nodes[node]))
    heapq.heapify(heap)
    while heap:
        here, node, vertex = heapq.heappop(heap)
        place = filled[vertex]
        if place == count:
            continue
        known = False
        for k in range(place):
            known = known or owners[vertex, k] == node
        if known:
            continue
        owners[vertex, place], found[vertex, place] = node, here
        filled[vertex] += 1
        for k in range(starts[vertex], starts[vertex + 1]):
            if filled[ends[k]] < count:
                heapq.heappush(heap, (here + lengths[k], node, ends[k]))
    return owners, found
