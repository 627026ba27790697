"""Layers of a drawn graph: assignment of nodes to layers, their order, and their positions across the flow."""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

#: Width of the lane of an edge that passes through a layer.
LANE = 12.0
#: Number of sweeps down and up; orders and coordinates converge earlier for graphs of hundreds of nodes.
ORDER_SWEEPS, PLACE_SWEEPS = 12, 16
#: Weight of an edge by its number of lane ends: long edges should be straight (Gansner et al. 1993, section 4.1).
_PULL = {0: 1.0, 1: 2.0, 2: 8.0}

#: Name of a node, or ``(source, target, rank)`` of an edge's lane.
Key = Union[str, Tuple[str, str, int]]
Links = Dict[Key, List[Key]]


class Layers(NamedTuple):
    """Graph in layers; ``across`` and ``breadth`` are the middle and the size of nodes and lanes across the flow.

    ``chains`` maps every edge to its source, its lanes, its target. ``cuttable`` are the layers into which edges lead
    from one node or lane only.
    """

    order: List[List[Key]]
    rank: Dict[Key, int]
    across: Dict[Key, float]
    breadth: Dict[Key, float]
    chains: Dict[Tuple[str, str], List[Key]]
    cuttable: List[int]


def lay_in_layers(breadth: Dict[str, float], edges: Sequence[Tuple[str, str]], gap: float) -> Layers:
    """Assign nodes with sizes ``breadth`` (across the flow) to layers, ``gap`` apart within one.

    Raises
    ------
    ValueError
        If an edge has an end that is no node, or there is a cycle.
    """
    rank: Dict[Key, int] = {}
    rank.update(_ranks(list(breadth), edges).items())
    sizes: Dict[Key, float] = {}
    sizes.update(breadth.items())
    chains: Dict[Tuple[str, str], List[Key]] = {}
    for source, target in edges:
        lanes: List[Tuple[str, str, int]] = [(source, target, r) for r in range(rank[source] + 1, rank[target])]
        rank.update((lane, lane[2]) for lane in lanes)
        sizes.update((lane, LANE) for lane in lanes)
        chains[source, target] = [source, *lanes, target]
    order: List[List[Key]] = [[] for _ in range(max(rank.values()) + 1)]
    for key, r in rank.items():
        order[r].append(key)
    links = [link for chain in chains.values() for link in zip(chain, chain[1:])]
    above: Links = {key: [] for key in rank}
    below: Links = {key: [] for key in rank}
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    order = _ordered(order, above, below)
    cuttable = [r for r in range(1, len(order)) if len({source for key in order[r] for source in above[key]}) == 1]
    return Layers(order, rank, _placed(order, above, below, sizes, gap), sizes, chains, cuttable)


def crossings(order: Sequence[Sequence[Key]], above: Mapping[Key, Sequence[Key]]) -> int:
    """Return the number of edge pairs that cross between layers in this order."""
    total = 0
    for upper, lower in zip(order[:-1], order[1:]):
        place = {key: index for index, key in enumerate(upper)}
        ends = np.array([(place[source], index) for index, key in enumerate(lower) for source in above[key]])
        if len(ends):
            first, second = ends[:, 0], ends[:, 1]
            total += int(np.count_nonzero((first[:, None] < first) & (second[:, None] > second)))
    return total


def spread(wanted: np.ndarray, apart: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Return the positions nearest to ``wanted`` (least squares, weights ``pull``) that keep order and distances.

    Parameters
    ----------
    wanted, pull : np.ndarray
        float64 ``[n]``.
    apart : np.ndarray
        float64 ``[n - 1]``: minimum distance between neighbours.

    Returns
    -------
    np.ndarray
        float64 ``[n]``: isotonic regression (pool adjacent violators) after subtraction of the distances.
    """
    offsets = np.concatenate([[0.0], np.cumsum(apart)])
    blocks: List[Tuple[float, float, int]] = []
    for value, weight in zip(wanted - offsets, pull):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, total, count = blocks.pop()
            both = total + block[1]
            block = ((mean * total + block[0] * block[1]) / both, both, count + block[2])
        blocks.append(block)
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks]) + offsets


def _ranks(names: Sequence[str], edges: Sequence[Tuple[str, str]]) -> Dict[str, int]:
    """Return the number of edges on the longest path to each node; raise the errors of :func:`lay_in_layers`."""
    following: Dict[str, List[str]] = {name: [] for name in names}
    waiting = dict.fromkeys(names, 0)  # number of incoming edges whose source has no rank yet
    for source, target in edges:
        if source not in waiting or target not in waiting:
            raise ValueError(f"edge {source!r} -> {target!r}: not both are nodes")
        following[source].append(target)
        waiting[target] += 1
    rank = {name: 0 for name in names if not waiting[name]}
    ready = list(rank)
    for name in ready:
        for target in following[name]:
            rank[target] = max(rank.get(target, 0), rank[name] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if len(ready) < len(names):
        raise ValueError(f"the graph has a cycle among {sorted(set(names) - set(ready))}")
    return rank


def _ordered(order: List[List[Key]], above: Links, below: Links) -> List[List[Key]]:
    """Return the order with the fewest crossings that the sweeps find; each sorts by the mean place of neighbours."""
    best, fewest = [list(layer) for layer in order], crossings(order, above)
    for sweep in range(ORDER_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        neighbours, indices = (above, range(1, len(order))) if down else (below, range(len(order) - 2, -1, -1))
        for index in indices:
            fixed = order[index - 1 if down else index + 1]
            place = {key: number for number, key in enumerate(fixed)}
            centres = {}
            for number, key in enumerate(order[index]):
                found = [place[other] for other in neighbours[key]]
                centres[key] = sum(found) / len(found) if found else number
            order[index] = sorted(order[index], key=centres.__getitem__)
        count = crossings(order, above)
        if count < fewest:
            best, fewest = [list(layer) for layer in order], count
    return best


def _placed(
    order: List[List[Key]], above: Links, below: Links, sizes: Dict[Key, float], gap: float
) -> Dict[Key, float]:
    """Return the middles across the flow: each sweep moves the nodes of a layer towards their neighbours."""
    across: Dict[Key, float] = {}
    aparts = []
    for layer in order:
        breadths = np.array([sizes[key] for key in layer])
        aparts.append((breadths[:-1] + breadths[1:]) / 2 + gap)
        middles = np.concatenate([[0.0], np.cumsum(aparts[-1])])
        across.update(zip(layer, middles - middles.mean()))
    for sweep in range(PLACE_SWEEPS + 1):
        sides = (above, below) if sweep == PLACE_SWEEPS else ((above,) if sweep % 2 == 0 else (below,))
        indices = range(len(order)) if sweep % 2 == 0 else range(len(order) - 1, -1, -1)
        for index in indices:
            wanted, pulls = [], []
            for key in order[index]:
                others = [other for side in sides for other in side[key]]
                weights = [_PULL[isinstance(key, tuple) + isinstance(other, tuple)] for other in others]
                total = sum(weights)
                pulled = sum(across[other] * weight for other, weight in zip(others, weights))
                wanted.append(pulled / total if total else across[key])
                pulls.append(max(total, 0.1))
            across.update(zip(order[index], spread(np.array(wanted), aparts[index], np.array(pulls))))
    return {key: float(value) for key, value in across.items()}
