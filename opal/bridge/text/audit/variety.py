"""Whether synthetic texts of a class are all alike, and how they differ from real ones.

What is normal is said by real texts of the class, split at random, against each other. Counts such
as distinct words depend on how many texts there are. Each split draws equally many of three kinds:
real texts A, other real texts B, and synthetic texts S. ``f(S, A)`` is read against ``f(B, A)``,
whose mean and spread over the splits say what real texts do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.spatial.distance import jensenshannon

from opal.bridge.resampling import clustered_error, z_score
from opal.bridge.text.audit.tables import AuditData, family, grams

LEAST = 10
"""Fewest texts of each kind that anything is said about."""
MOST = 1000
N_SPLITS = 20
ORDERS = (1, 2, 3)
OPENINGS = (3, 4, 5)
_SHARES = ("repeated", *(f"opening_{k}" for k in OPENINGS))
_OPENINGS_SHOWN = 3
_WORDS_SHOWN = 8
_LEAST_Z = 3.0

Measure = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def variety(data: AuditData, writer: str, seed: int) -> list[dict[str, Any]]:
    """Repetition within the synthetic texts of each group, beside that within real ones.

    - ``distinct_n``: different runs of n words per run of n words;
    - ``opening_k``: share of texts whose first k words are those of another text too;
    - ``repeated``: share of texts that another text equals up to case, marks and spacing.

    All are of equally many synthetic and real texts. Of all the synthetic texts of the class,
    ``n_repeated`` repeat an earlier one, ``contradictory`` occur in another class too (of the
    ``n_real`` real ones ``real_contradictory``), ``most`` is how often the most frequent one
    occurs, and ``openings`` are the most frequent first three words with their shares.
    """
    rng = np.random.default_rng(seed)
    made, real = (_classes(data, rows) for rows in (data.made[writer], data.known()))
    rows = []
    for name, ours, theirs in pools(data, writer):
        counts = Counter(data.key[ours].tolist())
        row: dict[str, Any] = {
            "class": name,
            "n": len(ours),
            "n_repeated": len(ours) - len(counts),
            "most": max(counts.values()),
            "contradictory": sum(len(made[int(k)]) > 1 for k in data.key[ours]),
            "real_contradictory": sum(len(real[int(k)]) > 1 for k in data.key[theirs]),
            "n_real": len(theirs),
            "openings": _frequent(data, ours),
            "reason": too_few(ours, theirs),
        }
        if row["reason"] is None:
            row |= against_real(partial(_sameness, data), ours, theirs, rng, shares=_SHARES)
        rows.append(row)
    return rows


def shift(data: AuditData, writer: str, seed: int) -> list[dict[str, Any]]:
    """Length and vocabulary of each group against real texts of the group.

    - ``words``, ``real_words``: mean length; ``shift_sd`` the difference in standard deviations of
      real lengths, ``sd_ratio`` that of the spreads, ``length_z`` the difference over its error,
      in which texts of the same seed count as one;
    - ``divergence``: Jensen-Shannon distance of the frequencies of words, in bits, from 0 to 1;
    - ``unseen``: share of words that the real texts of the split have not.

    The last two are of equally many texts. ``more`` and ``less`` are the words that synthetic texts
    use more and less often than real ones, with their shares of texts and a z.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name, ours, theirs in pools(data, writer):
        row: dict[str, Any] = {"class": name, "n": len(ours), "n_real": len(theirs)}
        row["reason"] = too_few(ours, theirs)
        if row["reason"] is None:
            row |= _length(data, ours, theirs)
            row |= against_real(partial(_vocabulary, data), ours, theirs, rng)
            row["more"], row["less"] = _words(data, ours, theirs)
        rows.append(row)
    return rows


def pools(data: AuditData, writer: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, synthetic rows and real rows (test texts aside) of each group with synthetic texts.

    Groups are classes, or where there is an attribute pairs (class, attribute): a mix of attributes
    that was asked for is no fault.
    """
    values = [f", {value}" for value in data.attributes] or [""]
    names = [f"{label}{value}" for label in data.labels for value in values]
    ours, real = data.made[writer], data.known()
    for number, name in enumerate(names):
        mine, theirs = (rows[data.group[rows] == number] for rows in (ours, real))
        if len(mine):
            yield name, mine, theirs


def too_few(ours: np.ndarray, theirs: np.ndarray) -> str | None:
    """Why nothing can be said about a class; None if something can."""
    if len(theirs) < 2 * LEAST:
        return f"needs {2 * LEAST} real texts; there are {len(theirs)}"
    if len(ours) < LEAST:
        return f"needs {LEAST} synthetic texts; there are {len(ours)}"
    return None


def against_real(
    measure: Measure,
    ours: np.ndarray,
    theirs: np.ndarray,
    rng: np.random.Generator,
    *,
    shares: Collection[str] = (),
) -> dict[str, dict[str, float | None]]:
    """Each number of a measure for synthetic and for real texts, of which there are enough.

    ``measure`` says numbers by name of some rows, given equally many real rows; ``shares`` names
    those that are shares of texts.

    Returns:
        By name: ``synthetic``, ``real``, and ``z`` of their difference. Both kinds are draws, so
        its error is √2 times the spread between real samples of that size; for a share of texts at
        least that of independent texts, since splits of few texts without a case have no spread.
    """
    m = min(len(ours), len(theirs) // 2, MOST)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(N_SPLITS):
        real = rng.permutation(theirs)
        made = rng.choice(ours, m, replace=False)
        mine, null = measure(made, real[:m]), measure(real[m : 2 * m], real[:m])
        for name, value in mine.items():
            found.setdefault(name, []).append((value, null[name]))
    return {
        name: _compared(np.array(pairs), m if name in shares else None)
        for name, pairs in found.items()
    }


def _classes(data: AuditData, rows: np.ndarray) -> dict[int, set[int]]:
    """The classes in which each text of some rows occurs, by its key."""
    found: dict[int, set[int]] = {}
    for row in rows:
        found.setdefault(int(data.key[row]), set()).add(int(data.label[row]))
    return found


def _sameness(data: AuditData, rows: np.ndarray, _: np.ndarray) -> dict[str, float]:
    words = [data.words[row] for row in rows]
    found = {}
    for n in ORDERS:
        runs = [run for each in words for run in grams(each, n)]
        found[f"distinct_{n}"] = len(set(runs)) / max(len(runs), 1)
    for k in OPENINGS:
        found[f"opening_{k}"] = _shared([tuple(each[:k]) for each in words if len(each) >= k])
    found["repeated"] = _shared(data.key[rows].tolist())
    return found


def _shared(things: list[Any]) -> float:
    """Share of things that occur more than once."""
    counts = Counter(things)
    return sum(n for n in counts.values() if n > 1) / max(len(things), 1)


def _frequent(data: AuditData, rows: np.ndarray) -> list[dict[str, Any]]:
    k = OPENINGS[0]
    counts = Counter(" ".join(data.words[row][:k]) for row in rows if len(data.words[row]) >= k)
    # Equally frequent ones in alphabetical order, so that the order of the rows does not matter.
    first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_OPENINGS_SHOWN]
    return [{"words": words, "share": n / len(rows)} for words, n in first]


def _length(data: AuditData, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    a, b = (np.array([len(data.words[i]) for i in rows], float) for rows in (ours, theirs))
    difference, unit = float(a.mean() - b.mean()), float(b.std())
    errors = clustered_error(a, family(data, ours)), clustered_error(b, data.key[theirs])
    return {
        "words": float(a.mean()),
        "real_words": float(b.mean()),
        "shift_sd": difference / unit if unit > 0 else (0.0 if difference == 0 else None),
        "sd_ratio": float(a.std()) / unit if unit > 0 else None,
        "length_z": z_score(difference, *errors),
    }


def _vocabulary(data: AuditData, rows: np.ndarray, given: np.ndarray) -> dict[str, float]:
    ours, theirs = (Counter(w for i in part for w in data.words[i]) for part in (rows, given))
    vocabulary = sorted(ours.keys() | theirs.keys())
    p, q = ([counts[word] for word in vocabulary] for counts in (ours, theirs))
    unseen = sum(count for word, count in ours.items() if word not in theirs)
    return {"divergence": float(jensenshannon(p, q, base=2)), "unseen": unseen / sum(p)}


def _words(
    data: AuditData, ours: np.ndarray, theirs: np.ndarray
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Words with the largest z of the difference of their shares of texts, and the smallest."""
    made, real = (Counter(w for i in part for w in {*data.words[i]}) for part in (ours, theirs))
    n, m = len(ours), len(theirs)
    found = []
    for word in sorted(made.keys() | real.keys()):
        p, q = made[word] / n, real[word] / m
        pooled = (made[word] + real[word]) / (n + m)
        z = (p - q) / np.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
        found.append({"word": word, "share": p, "real_share": q, "z": float(z)})
    ordered = sorted(found, key=lambda row: -row["z"])
    more = [row for row in ordered if row["z"] > _LEAST_Z][:_WORDS_SHOWN]
    less = [row for row in ordered[::-1] if row["z"] < -_LEAST_Z][:_WORDS_SHOWN]
    return more, less


def _compared(pairs: np.ndarray, m: int | None) -> dict[str, Any]:
    mean = pairs.mean(axis=0)
    synthetic, real = mean.tolist()
    error = float(np.sqrt(2) * pairs[:, 1].std(ddof=1))
    if m is not None:
        error = max(error, float(np.sqrt(np.sum(mean * (1 - mean)) / m)))
    if error == 0:
        error = float(pairs[:, 0].std(ddof=1))
    z = (synthetic - real) / error if error > 0 else None
    return {"synthetic": synthetic, "real": real, "std_error": error, "z": z}
