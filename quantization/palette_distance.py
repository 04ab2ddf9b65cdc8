"""The distance between two palettes: how far their colors must be moved in OKLab, at least, to become each other.

The earth mover's distance (Rubner, Tomasi and Guibas 2000), exactly, by successive shortest paths.
"""

import numpy as np
from numba import njit

from .errors import InputError
from .palette import Palette
from .spaces import SPACES


def palette_distance(first: Palette, second: Palette) -> float:
    """The earth mover's distance of two palettes whose opaque entries weigh the same each, in OKLab.

    It doesn't depend on the order of entries, and the palettes may differ in size. 0 for the same colors, 1 between
    black and white.

    Raises:
        InputError: one of the palettes has no opaque entry.
    """
    points = []
    for palette in (first, second):
        opaque = palette.colors[palette.colors[:, 3] > 0, :3]
        if len(opaque) == 0:
            raise InputError("a palette without an opaque entry has no distance to another one")
        points.append(SPACES["oklab"].from_bytes(opaque).astype(np.float64))
    costs = np.linalg.norm(points[0][:, None] - points[1], axis=2)  # [K, L]
    return float(_cheapest_transport(costs)) / costs.size


@njit(cache=True)
def _cheapest_transport(costs: np.ndarray) -> float:
    """The least cost of moving m units from each of n sources so that each of m sinks gets n, for costs ``[n, m]``.

    Whole units make it exact. Each round fills the cheapest path from any source with units left to any sink with
    room left.
    """
    n, m = costs.shape
    units, room = np.full(n, m), np.full(m, n)
    flow = np.zeros((n, m), np.int64)
    potential = np.zeros(n + m)  # sources first, then sinks
    left = n * m
    while left > 0:
        parent, end = _cheapest_path(costs, flow, units, room, potential)
        amount, node = room[end - n], end
        while parent[node] >= 0:
            if node < n:
                amount = min(amount, flow[node, parent[node] - n])
            node = parent[node]
        amount = min(amount, units[node])
        units[node] -= amount
        room[end - n] -= amount
        left -= amount
        node = end
        while parent[node] >= 0:
            if node >= n:
                flow[parent[node], node - n] += amount
            else:
                flow[node, parent[node] - n] -= amount
            node = parent[node]
    return (flow * costs).sum()


@njit(cache=True)
def _cheapest_path(
    costs: np.ndarray, flow: np.ndarray, units: np.ndarray, room: np.ndarray, potential: np.ndarray
) -> tuple[np.ndarray, int]:
    """Dijkstra's algorithm over costs reduced by potentials (Edmonds and Karp 1972), which it updates.

    Returns:
        Each node's predecessor, -1 where a path starts, and the sink where the cheapest path ends.
    """
    n, m = costs.shape
    distance, parent, done = np.full(n + m, np.inf), np.full(n + m, -1), np.zeros(n + m, np.bool_)
    distance[:n][units > 0] = 0.0
    end = -1
    while end < 0:
        node = np.argmin(np.where(done, np.inf, distance))
        done[node] = True
        if node >= n and room[node - n] > 0:
            end = node
        elif node < n:
            for j in range(m):  # forward to every sink; rounding alone makes a reduced cost negative
                reached = distance[node] + max(costs[node, j] + potential[node] - potential[n + j], 0.0)
                if reached < distance[n + j]:
                    distance[n + j], parent[n + j] = reached, node
        else:
            for i in range(n):  # back to the sources that send here, at the reduced cost 0 of edges in use
                if flow[i, node - n] > 0 and distance[node] < distance[i]:
                    distance[i], parent[i] = distance[node], node
    potential += np.minimum(distance, distance[end])
    return parent, end
