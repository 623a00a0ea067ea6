"""Two sides that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def compare(
    ours: Callable[[], object],
    peer: Callable[[], object] | None,
    name: str,
    calls: int,
    n_tokens: int,
    rounds: int,
) -> dict[str, Any]:
    """Medians over rounds of each side's seconds and of their ratios; None if there is no peer."""
    sides = [side for side in (ours, peer) if side is not None]
    for side in sides:
        side()  # warm
    turns = np.array([_turns(sides, first=i % len(sides)) for i in range(rounds)]) / calls
    seconds, cpu_seconds = np.median(turns[:, 0], axis=0).tolist()
    of_peer: list[Any] = [None, None]
    ratios: list[Any] = [None, None]
    ranges: list[Any] = [None, None]
    if peer is not None:
        each = turns[:, 1] / turns[:, 0]  # [rounds, 2]
        of_peer, ratios = (np.median(x, axis=0).tolist() for x in (turns[:, 1], each))
        ranges = [[float(x.min()), float(x.max())] for x in each.T]
    return {
        "peer": name,
        "ratio": ratios[0],
        "ratio_range": ranges[0],
        "cpu_ratio": ratios[1],
        "cpu_ratio_range": ranges[1],
        "seconds": seconds,
        "peer_seconds": of_peer[0],
        "cpu_seconds": cpu_seconds,
        "peer_cpu_seconds": of_peer[1],
        "tokens_per_s": n_tokens / seconds,
        "peer_tokens_per_s": of_peer[0] and n_tokens / of_peer[0],
    }


def _turns(sides: list[Callable[[], object]], first: int) -> list[tuple[float, float]]:
    """Times of each side; ``first`` begins."""
    found = {i: times(sides[i]) for i in (first, *{*range(len(sides))} - {first})}
    return [found[i] for i in range(len(sides))]


def times(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call: on the wall, and of all threads."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu
