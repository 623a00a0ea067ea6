"""A rule that was trained, and the records that say what it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from opal.bridge.text.curves.arms import Training
from opal.bridge.text.curves.material import Material
from opal.bridge.text.curves.measures import METRICS, Measure, measures, std_error
from opal.estimators.wide import WideFit


@dataclass(frozen=True, eq=False)
class Trained:
    """A rule of an arm, on the test texts.

    Attributes:
        arm: its name.
        source: who wrote the added texts.
        added: N.
        training: what it was trained on.
        ratio: ρ of its weights; not a number for other arms.
        rule: the fitted rule.
        measured: every metric.
    """

    arm: str
    source: str
    added: int
    training: Training
    ratio: float
    rule: WideFit
    measured: Mapping[str, Measure]

    @classmethod
    def of(
        cls,
        data: Material,
        x: Any,
        arm: str,
        training: Training,
        rule: WideFit,
        source: str = "none",
        added: int = 0,
        ratio: float = np.nan,
    ) -> Trained:
        """The rule, measured on the test texts.

        Args:
            data: the texts.
            x: features of all of them [n, d].
            arm: its name.
            training: what the rule was trained on.
            rule: the rule.
            source: who wrote the added texts.
            added: N.
            ratio: ρ.
        """
        p = rule.probabilities(x[data.test])
        found = measures(p, data.y[data.test], data.group[data.test])
        return cls(arm, source, added, training, ratio, rule, found)

    def described(self, data: Material) -> dict[str, Any]:
        """The columns that say which rule a record is of.

        ``n_each`` is the harmonic mean of the groups' real texts, which a group counts for under
        group weighting; ``total`` is that of all texts, times the number of groups.
        """
        base = self.training.rows[np.isin(self.training.rows, data.base)]
        real = np.unique(base)
        counts = np.bincount(data.group[real], minlength=len(data.groups))
        present = counts[counts > 0]
        effective = [_harmonic(data.group[rows]) for rows in (real, self.training.rows)]
        filled = len(self.training.rows) - len(real) if self.training.alpha == 0 else 0
        return {
            "synthesizer": "duplicate" if self.arm == "duplication" else self.source,
            "arm": self.arm,
            "n_real": int(counts.sum()),
            "n_min": int(present.min(initial=counts.sum())),
            "n_max": int(counts.max()),
            "n_oversampled": filled,
            "n_augmented": round(self.added / len(data.groups)) if not filled else 0,
            "alpha": self.training.alpha,
            "added": self.added,
            "rho": self.ratio,
            "n_each": effective[0],
            "total": effective[1] * len(np.unique(data.group[self.training.rows])),
        }

    def rows(
        self, data: Material, references: Mapping[str, Mapping[str, Measure]]
    ) -> Iterator[dict[str, Any]]:
        """Every metric, its difference to those of other rules, and the error of every group.

        Args:
            data: the texts.
            references: what the other rules measure, by what a difference to them is called.
        """
        same = self.described(data) | {"source": "data"}
        for name, (value, influence) in self.measured.items():
            metric, _, group = name.partition(" ")
            own = same | {"group": data.groups[int(group)] if group else "all"}
            yield own | {"metric": metric, "value": value, "std_error": std_error(influence)}
            if metric not in METRICS:
                continue
            for said, other in references.items():
                yield own | {
                    "metric": f"{metric}_{said}",
                    "value": value - other[name].value,
                    "std_error": std_error(influence - other[name].influence),
                }


def _harmonic(group: np.ndarray) -> float:
    counts = np.bincount(group)
    counts = counts[counts > 0]
    return float(1 / np.mean(1 / counts)) if len(counts) else 0.0
