"""Each training of one seed by two classifiers, tested on the same texts.

``frozen`` is a weighted logistic rule on frozen embeddings, ``fine-tuned`` the encoder that made
them, trained, and ``contrast`` the second's difference to weighting minus the first's.

For each corpus, source and number N of added texts, the change of a metric against weighting is
*better*, *worse*, or *open* where its 95 % interval contains 0, by either classifier. The two
**contradict** each other if the changes have different signs and the contrast (fine-tuned minus
frozen) differs from 0 beyond chance over all sources and N of the corpus (level 5 %, Šidák).

Of a corpus and a metric, fine-tuning

- *contradicts* the frozen embeddings if it does so for any source and N;
- *confirms* them if it does not, if both classifiers call some change better or some change worse,
  and if the rank correlation of their changes over sources and N is positive;
- leaves them *open* otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal.bridge.text.classifiers import FineTuned, FineTuning, fine_tune
from opal.bridge.text.corpus import HUMAN
from opal.bridge.text.curves import design, train
from opal.bridge.text.curves.design import SplitData
from opal.bridge.text.curves.evaluate import summary
from opal.bridge.text.curves.measures import Measure, measures
from opal.bridge.text.curves.train import Trained
from opal.bridge.text.encoders import Encoder, Features
from opal.checks import Check, at_least, at_most, z_threshold
from opal.draws import as_key, named, on_host

FROZEN, TUNED, CONTRAST = "frozen", "fine-tuned", "contrast"
METRICS = ("balanced_error", "macro_f1", "balanced_risk")
_LAST = 0.2
"""Share of the steps over which the loss at the end of training is averaged."""
LEVEL = 0.05
KEYS = ("setting", "synthesizer", "arm", "added", "metric", "classifier")
CONTRADICT, CONFIRM, OPEN = "contradicts", "confirms", "open"
_CHANGE = "_difference"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ArmSettings:
    """Which arms are trained, with how many added texts."""

    arms: Sequence[str]  # beside weighting
    size: int  # number of added texts; sources that have fewer are left out
    folds: int  # that choose the penalty of the linear rule


@dataclass(frozen=True, eq=False)
class Both:
    """One training by both classifiers."""

    frozen: Trained  # the linear rule, and what both were trained on
    tuned: Mapping[str, Measure]  # every metric of the encoder
    described: Mapping[str, float]  # of its training: steps, loss and accuracy at the end

    def measured(self, metric: str) -> dict[str, Measure]:
        """A metric of each classifier."""
        return {FROZEN: self.frozen.measured[metric], TUNED: self.tuned[metric]}


def compared(
    data: SplitData, seed: int, encoder: Encoder, settings: FineTuning, asked: ArmSettings
) -> pd.DataFrame:
    """Records of one seed, without the columns that name the study, the setting and the seed."""
    data = cut(data, asked.size)
    said = data.frame["text"].tolist()
    known = encoder.features(said)
    strength = train.tune_strength(data, known, seed, n_folds=asked.folds)
    found = []
    for frozen in _linear(data, known, seed, strength, asked):
        rows, weights = frozen.training.rows, frozen.training.weights
        rule = fine_tune(
            [said[i] for i in rows],
            data.y[rows],
            weights,
            n_classes=len(data.labels),
            settings=settings,
            seed=seed,
        )
        p = rule.probabilities([said[i] for i in data.test])
        tuned = measures(p, data.y[data.test], data.group[data.test])
        found.append(Both(frozen, tuned, _ending(rule)))
    told = [row for both in found for row in _rows(both, found[0], data)]
    return pd.DataFrame(told).assign(strength=strength, n_classes=len(data.labels))


def cut(data: SplitData, most: int) -> SplitData:
    """The same texts without those added after the first ``most`` of each source."""
    added = {name: order[:most] for name, order in data.added.items()}
    rows = np.concatenate([data.base, *added.values(), data.test])  # ascending
    return replace(
        data,
        frame=data.frame.iloc[rows].reset_index(drop=True),
        y=data.y[rows],
        group=data.group[rows],
        base=np.searchsorted(rows, data.base),
        added={name: np.searchsorted(rows, order) for name, order in added.items()},
        test=np.searchsorted(rows, data.test),
    )


def _linear(
    data: SplitData, known: Features, seed: int, strength: float, asked: ArmSettings
) -> Iterator[Trained]:
    """The linear rules; that of weighting comes first."""
    rng = on_host(named(as_key(seed), "duplicates"))
    planned: list[tuple[Any, ...]] = [
        (arm, design.baseline(arm, data, data.base, rng), "none", 0)
        for arm in (design.REFERENCE, *(arm for arm in asked.arms if arm in design.BASELINES))
    ]
    for source, order in data.added.items():
        planned += [
            (arm, design.adding(arm, data, data.base, order), source, len(order))
            for arm in asked.arms
            if arm in design.ADDING and len(order) == asked.size
        ]
    for arm, training, source, size in planned:
        x = known.given(training.rows)
        with threadpool_limits(1):  # the matrices are small
            rule = design.fit_rule(data, x, training, strength=strength)
        yield Trained.of(data, x, arm, training, rule, source, size)


def _ending(rule: FineTuned) -> dict[str, float]:
    """Steps, and the mean weighted loss and share of right texts over the last fifth of them."""
    last = max(1, round(_LAST * len(rule.losses)))
    return {
        "steps": len(rule.losses),
        "training_loss": float(np.mean(rule.losses[-last:])),
        "training_accuracy": float(np.mean(rule.accuracies[-last:])),
    }


def _rows(both: Both, reference: Both, data: SplitData) -> Iterator[dict[str, Any]]:
    """Every metric of each classifier, its difference to weighting, and their contrast."""
    same = both.frozen.described(data) | {"source": "data", "group": "all"} | dict(both.described)
    for metric in METRICS:
        own, other = both.measured(metric), reference.measured(metric)
        change = {name: own[name].less(other[name]) for name in own}
        told = [(name, metric, own[name]) for name in own]
        told += [(name, f"{metric}_difference", change[name]) for name in change]
        contrast = change[TUNED].less(change[FROZEN])
        told.append((CONTRAST, f"{metric}_difference", contrast))
        for classifier, said, measure in told:
            yield same | {"classifier": classifier, "metric": said, **measure.recorded(data.block)}


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each corpus, metric, arm, source and N, changes with their 95 % intervals.

    ``says`` is of the row, ``corpus_says`` of the corpus, metric and arm, ``training_accuracy`` of
    the last steps of fine-tuning.
    """
    found = changes(records)
    for name in (FROZEN, TUNED, CONTRAST):
        ends = (found[name], found.pop(f"{name} lower"), found.pop(f"{name} upper"))
        found[name] = [
            f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
            for value, low, high in zip(*ends, strict=True)
        ]
    digits = {f"{name}, weighting": 3 for name in (FROZEN, TUNED)}
    return found.round(digits | {"rank_correlation": 2, "training_accuracy": 2})


def changes(records: pd.DataFrame) -> pd.DataFrame:
    """The same in numbers, with the ends of all intervals."""
    table = summary(_once(records), KEYS)
    reference = table[table["arm"] == design.REFERENCE].set_index(
        ["setting", "metric", "classifier"]
    )
    compared = table[table["metric"].str.endswith(_CHANGE) & table["arm"].ne(design.REFERENCE)]
    found = []
    for metric in METRICS:
        rows_of = compared[compared["metric"] == metric + _CHANGE]
        for (setting, arm), rows in rows_of.groupby(["setting", "arm"], sort=False):
            each = _wide(rows, metric)
            for index, name in enumerate((FROZEN, TUNED)):
                at = reference.at[(setting, metric, name), "value"]
                each.insert(2 + index, f"{name}, weighting", at)
            for index, said in enumerate((setting, metric, arm)):
                each.insert(index, ("setting", "metric", "arm")[index], said)
            verdict, rank = _of_corpus(each)
            found.append(each.assign(rank_correlation=rank, corpus_says=verdict))
    keys = ["setting", "arm", "synthesizer", "added"]
    training = records[records["classifier"] == TUNED].groupby(keys)["training_accuracy"].mean()
    return pd.concat(found, ignore_index=True).join(training, on=keys)


def _once(records: pd.DataFrame) -> pd.DataFrame:
    """The records, of which every size brings the same ones of arms that add nothing."""
    return records.drop_duplicates([*KEYS, "replicate"])


def _wide(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Both changes and their contrast beside each other, and what they say."""
    columns = ["value", "lower", "upper", "std_error"]
    wide = rows.pivot(index=["synthesizer", "added"], columns="classifier", values=columns)
    threshold = z_threshold(len(wide), LEVEL)
    good = 1 if metric == "macro_f1" else -1
    found = wide.index.to_frame(index=False)
    for classifier in (FROZEN, TUNED, CONTRAST):
        for column in ("value", "lower", "upper"):
            name = classifier if column == "value" else f"{classifier} {column}"
            found[name] = wide[column, classifier].to_numpy()
    errors = wide["std_error", CONTRAST].to_numpy()
    sure = found[CONTRAST].abs() > threshold * errors
    opposed = (found[FROZEN] * found[TUNED] < 0) & sure
    for name in (FROZEN, TUNED):
        found[f"{name} says"] = [
            _direction(good * low, good * high)
            for low, high in zip(found[f"{name} lower"], found[f"{name} upper"], strict=True)
        ]
    alike = found[f"{FROZEN} says"] == found[f"{TUNED} says"]
    both = "both " + found[f"{FROZEN} says"]
    apart = found[f"{FROZEN} says"] + ", " + found[f"{TUNED} says"]
    found["says"] = both.where(alike, apart).mask(opposed, CONTRADICT)
    return found.drop(columns=[f"{FROZEN} says", f"{TUNED} says"])


def _direction(one: float, other: float) -> str:
    """What an interval says of a change whose sign is that of what is good."""
    if min(one, other) > 0:
        return "better"
    return "worse" if max(one, other) < 0 else "open"


def _of_corpus(rows: pd.DataFrame) -> tuple[str, float]:
    """What a corpus says, and the rank correlation of the changes."""
    rank = float(rows[FROZEN].rank().corr(rows[TUNED].rank())) if len(rows) > 1 else float("nan")
    if (rows["says"] == CONTRADICT).any():
        return CONTRADICT, rank
    decided = rows["says"].isin(["both better", "both worse"]).any()
    return (CONFIRM if decided and rank > 0 else OPEN), rank


def checks(records: pd.DataFrame) -> list[Check]:
    """Fine-tuning learns its training texts, both beat chance, and human texts help both."""
    found = [_learned(records), _above_chance(records)]
    if (records["synthesizer"] == HUMAN).any():
        found += [_human_texts_help(records, classifier) for classifier in (FROZEN, TUNED)]
    return found


def _learned(records: pd.DataFrame) -> Check:
    """The training loss at the end, in that of guessing: the largest, of means over seeds."""
    rows = records[(records["classifier"] == TUNED) & (records["metric"] == "balanced_error")]
    rows = rows.assign(share=rows["training_loss"] / np.log(rows["n_classes"]))
    means = rows.groupby(["setting", "synthesizer", "arm", "added"])["share"].mean()
    detail = f"largest loss of {len(means)} trainings at their end, in that of guessing"
    return at_most("fine-tuning learns its texts", means, 0.75, detail)


def _above_chance(records: pd.DataFrame) -> Check:
    rows = _once(records)
    rows = rows[(rows["arm"] == design.REFERENCE) & (rows["metric"] == "balanced_error")]
    below = 1 - 1 / rows["n_classes"] - rows["value"]
    # A rule that always says the same has the error of guessing, without a standard error.
    z = np.where(below.abs() > _ROUNDING, below / rows["std_error"].clip(lower=_ROUNDING), 0.0)
    least = rows.assign(z=z).groupby(["setting", "classifier"])["z"].mean()
    detail = "standard errors by which weighting is better than guessing, the least"
    return at_least("classifiers beat chance", least, 2.0, detail)


def _human_texts_help(records: pd.DataFrame, classifier: str) -> Check:
    """The fall of the balanced error with the most human texts, a mean over corpora.

    Arms of a corpus share texts: their errors count as one and the same.
    """
    rows = records[
        (records["synthesizer"] == HUMAN)
        & (records["classifier"] == classifier)
        & (records["metric"] == "balanced_error" + _CHANGE)
    ]
    table = summary(rows, KEYS)
    last = table[table["added"] == table.groupby("setting")["added"].transform("max")]
    each = last.groupby("setting")[["value", "std_error"]].mean()
    value, error = each["value"].mean(), (each["std_error"] ** 2).sum() ** 0.5 / len(each)
    detail = f"{classifier}: {value:+.3f} ± {error:.3f} with the most human texts"
    return at_least(f"human texts help ({classifier})", float(-value / error), 2.0, detail)
