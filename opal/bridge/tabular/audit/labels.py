"""What share of the labels of synthetic rows is wrong, as far as real rows tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.bridge import resampling
from opal.bridge.label_noise import described, wrong_labels
from opal.bridge.label_scores import MADE, RIGHT, WRONG
from opal.bridge.tabular.audit.cases import ALL, MOST_LEVELS, Grouping, Tables
from opal.bridge.tabular.splits import keys
from opal.estimators.wide import fit_wide

FOLDS = 5
_MOST_REAL = 4000
_STRENGTH = 1.0
_TINY = 1e-3


def labels(tables: Tables, groups: Grouping, trees: int, seed: int) -> list[dict[str, Any]]:
    """The share of wrong labels of each class (:func:`opal.bridge.label_noise.described`).

    The classifier of real rows is the mean of a forest and a logistic regression, classes weighing
    the same; it is asked about rows none of whose equals it has seen. Real rows count in the
    synthetic rows' mix of attributes. A label of more than 10 values has no classes.
    """
    real = _some(tables.real.drop_duplicates(), np.random.default_rng(seed))
    both = pd.concat([tables.synthetic, real], ignore_index=True)
    made = np.arange(len(both)) < len(tables.synthetic)
    classes, y = np.unique(real[tables.target], return_inverse=True)
    if not 1 < len(classes) <= MOST_LEVELS:
        reason = f"needs 2 to {MOST_LEVELS} values of the label; there are {len(classes)}"
        return [{"class": ALL, "n": int(made.sum()), "n_real": len(real), "reason": reason}]
    family = resampling.lineages(keys(both[tables.features]))
    x = both[tables.features].to_numpy(float)
    p = _out_of_fold(x, y, made, family, trees, seed)
    said, stratum = both[tables.target].to_numpy(), _strata(both, groups)
    found = []
    for k, name in enumerate(classes):
        own = said == name
        kind = np.where(made, np.where(own, MADE, -1), np.where(own, RIGHT, WRONG))
        if not (made & own).any():
            continue
        row = {"class": f"{tables.target}={name:g}", "n": int((made & own).sum())}
        row["n_real"] = int((own & ~made).sum())
        found.append((row, wrong_labels(_odds(p, y, k), kind, stratum, family)))
    return described(found, family, ALL)


def _some(real: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    if len(real) <= _MOST_REAL:
        return real
    return real.iloc[np.sort(rng.choice(len(real), _MOST_REAL, replace=False))]


def _strata(both: pd.DataFrame, groups: Grouping) -> np.ndarray:
    """A number for the attributes of each row; all 0 where there are none [n]."""
    found = pd.Series("", index=both.index)
    for k in range(len(groups.attributes)):
        found = found + "," + pd.Series(groups.attribute(both, k), index=both.index).astype(str)
    return pd.factorize(found)[0]


def _odds(p: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Log odds of a class against the others, in their mix among real rows [n]."""
    mix = np.bincount(y, minlength=p.shape[1]).astype(float)
    mix[k] = 0.0
    return np.log(p[:, k]) - np.log(p @ (mix / mix.sum()))


def _out_of_fold(
    x: np.ndarray, y: np.ndarray, made: np.ndarray, family: np.ndarray, trees: int, seed: int
) -> np.ndarray:
    """Probabilities of the classes, from real rows that no row of the fold equals [n, K]."""
    n_classes = int(y.max()) + 1
    kind = np.zeros(len(x), int)
    kind[~made] = 1 + y
    fold = resampling.deal(family, kind, FOLDS, seed=seed)
    p = np.full((len(x), n_classes), np.nan)
    for k in range(FOLDS):
        held = fold == k
        train = ~held & ~made
        own = y[train[~made]]
        if held.any() and len(np.unique(own)) == n_classes:
            p[held] = _rule(x[train], own, x[held], trees, seed + k)
    return (p + _TINY) / (1 + n_classes * _TINY)


def _rule(x: np.ndarray, y: np.ndarray, new: np.ndarray, trees: int, seed: int) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        trees, min_samples_leaf=5, class_weight="balanced", random_state=seed
    ).fit(x, y)
    unit = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    scaled, asked = ((rows - x.mean(axis=0)) / unit for rows in (x, new))
    weight = 1 / np.bincount(y)[y] / (y.max() + 1)
    ridge = 1 / (2 * _STRENGTH * len(y))
    linear = fit_wide(scaled, y, weight, n_classes=int(y.max()) + 1, ridge=ridge, tolerance=1e-3)
    return np.asarray((forest.predict_proba(new) + linear.probabilities(asked)) / 2)
