"""Which examples a request shows: drawn anew with replacement, the same ones on every run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

N_SEEDS = 5  # of arXiv 2504.15160


def drawn(ids: Sequence[str], n: int, *, key: int, group: str, index: int) -> tuple[str, ...]:
    """As many ids as asked for, each equally likely each time.

    The draw is a hash of key, group and index: it depends neither on the order of the ids nor on
    the version of a library, so that a run that is resumed years later asks the same requests.

    >>> drawn(["b", "a", "c"], 4, key=0, group="x", index=7)
    ('c', 'b', 'a', 'a')
    """
    pool = sorted(ids)
    return tuple(pool[_number(key, group, index, place) % len(pool)] for place in range(n))


def fixed(ids: Sequence[str], n: int, *, key: int, group: str) -> tuple[str, ...]:
    """Different ids, the same for all requests of a group."""
    order = {id_: _number(key, group, "fixed", id_) for id_ in ids}
    return tuple(sorted(order, key=lambda id_: order[id_])[:n])


def require_enough(counts: Mapping[str, int], n: int, kind: str) -> None:
    """Refuse groups with fewer than n different examples.

    Raises:
        ValueError: names the smallest such group.
    """
    few = {group: count for group, count in counts.items() if count < n}
    if few:
        group = min(few, key=lambda name: (few[name], name))
        more = f" ({len(few)} such groups)" if len(few) > 1 else ""
        raise ValueError(
            f"a group needs at least {n} different {kind} to be imitated; {group!r} has "
            f"{few[group]}{more}: collect more, or leave the group out."
        )


def _number(*parts: object) -> int:
    """A whole number of 256 bits; repr keeps 1 and '1' apart, and where one part ends."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest())
