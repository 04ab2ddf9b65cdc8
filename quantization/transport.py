"""Optimal transport: the cheapest way to move whole units, exactly, by successive shortest paths."""

import numpy as np
from numba import njit


@njit(cache=True)
def cheapest_transport(costs: np.ndarray, supply: np.ndarray, demand: np.ndarray) -> float:
    """The least cost of moving all units from n sources into m sinks; arguments as for `cheapest_flow`."""
    return (cheapest_flow(costs, supply, demand) * costs).sum()


@njit(cache=True)
def cheapest_flow(costs: np.ndarray, supply: np.ndarray, demand: np.ndarray) -> np.ndarray:
    """The cheapest way to move all units from n sources into m sinks.

    Each round fills the cheapest path from any source with units left to any sink with room left.

    Args:
        costs: of one unit from each source to each sink, at least 0, float64 ``[n, m]``.
        supply: units at each source, int64 ``[n]``.
        demand: room in each sink, int64 ``[m]``, at least as many units together.

    Returns:
        The units that go from each source to each sink, int64 ``[n, m]``.
    """
    n, m = costs.shape
    units, room = supply.copy(), demand.copy()
    flow = np.zeros((n, m), np.int64)
    potential = np.zeros(n + m)  # sources first, then sinks
    left = units.sum()
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
    return flow


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
