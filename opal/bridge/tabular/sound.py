"""The sound evaluation: what each arm is worth in balanced, minority and worst-group error.

Group errors are averaged over the seeds, then over groups (balanced), over the smallest groups in
training (minority), or maximised (worst). Differences to group weighting, and to the raw fit with
its threshold moved, are paired on seeds and rows. Intervals are of 95 %: Student's over seeds that
have test rows of their own, of seeds crossed with rows where they share some
(:func:`opal.bridge.resampling.crossed`), and over rows alone where there is one seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal import names, plotting, progress, records
from opal.bridge import render, resampling
from opal.bridge.tabular import arms, metrics, report, verdict
from opal.bridge.tabular.arms import ARMS, MOVED, RANDOM_ARMS
from opal.bridge.tabular.classifiers import (
    CLASSIFIERS,
    SoundSettings,
    probabilities,
    require_packages,
)
from opal.bridge.tabular.datasets import Dataset
from opal.bridge.tabular.splits import Split, SplitArrays, load_features
from opal.files import writable_folder, write_text

if TYPE_CHECKING:
    import matplotlib.figure

__all__ = ["CLASSIFIERS", "SoundSettings", "evaluate", "require_packages"]


_SHOWN = ("dataset", "task", "classifier", "arm", "synthesizer", "n_oversampled", "metric")
_DEFAULT = SoundSettings()


@dataclass(frozen=True, eq=False)
class TableEvaluation:
    """A sound evaluation."""

    frame: pd.DataFrame  # its records, as :mod:`opal.records` describes them
    left_out: Mapping[str, Mapping[str, str]]  # by data set and task: arms not allowed, and why
    settings: SoundSettings  # that it was made with
    keys: Mapping[str, Sequence[str]]  # by data set and task: columns that only tell rows apart

    def table(self) -> pd.DataFrame:
        """Each metric of each arm, and its differences to what is free, with 95 % intervals."""
        rows = self.frame[self.frame["replicate"].isna()]
        return rows[[*_SHOWN, "value", "std_error", "lower", "upper"]].reset_index(drop=True)

    def verdict(self) -> pd.DataFrame:
        """What each evaluation with synthetic rows comes to: columns and a ``sentence``.

        The columns are those of :func:`opal.bridge.tabular.verdict.verdict`.
        """
        done = report.evaluations(self.frame)
        names = ("dataset", "task", "classifier")
        return pd.DataFrame(
            [{n: each[n] for n in names} | each["verdict"] for each in done if each["verdict"]]
        )

    def plot(self) -> matplotlib.figure.Figure:
        """Differences to weighting: balanced and worst-group error of every data set and task."""
        from opal.bridge.tabular import picture

        return picture.difference_figure(self.frame)

    def to_html(self) -> str:
        """The report as one page that needs nothing else."""
        return render.html(report.TITLE, list(self._page(plotting.png(self.plot()))))

    def write(self, out: Path) -> dict[str, Any]:
        """Write page, figure and records into a folder, each whole or absent.

        Returns:
            The JSON-able result: evaluations, arms left out with reasons, and the paths.
        """
        written = paths(out)
        figure = self.plot()
        for kind in ("png", "pdf"):
            plotting.save(figure, written[kind])
        write_text(written["md"], render.markdown(report.TITLE, list(self._page())))
        records.write(self.frame, written["parquet"], metadata={"config": asdict(self.settings)})
        return {
            "protocol": "sound",
            "evaluations": report.evaluations(self.frame),
            "left_out": {setting: dict(reasons) for setting, reasons in self.left_out.items()},
            "keys": {setting: list(names) for setting, names in self.keys.items()},
            "written": {kind: str(path) for kind, path in written.items()},
        }

    def _page(self, png: bytes = b"") -> Sequence[render.Block]:
        figure = render.Figure(png, "tabular.png", "differences")
        done = report.evaluations(self.frame)
        return list(report.page(done, self.left_out, self.keys, self.settings, figure))


def paths(out: Path) -> dict[str, Path]:
    """The files of an evaluation in a folder, by kind."""
    return {kind: out / f"tabular.{kind}" for kind in ("png", "pdf", "md", "parquet")}


def evaluate_rows(
    datasets: Dataset | Sequence[Dataset],
    *,
    tasks: Sequence[str] = (),
    classifiers: Sequence[str] = CLASSIFIERS,
    settings: SoundSettings = _DEFAULT,
    out: Path | None = None,
    quiet: bool = True,
) -> TableEvaluation:
    """Train with and without synthetic rows, and measure the error of every arm.

    Columns that number the real rows are no features, and are left out, see
    :func:`opal.bridge.tabular.identifiers.identifiers`.

    Args:
        datasets: of :func:`opal.bridge.tabular.datasets.from_tables`, ``from_folder``, ``listed``.
        tasks: ``imbalanced``, ``spurious``; all that the tables allow if none is named.
        classifiers: ``logistic``, ``forest``, ``catboost``.
        settings: how hard to work.
        out: a folder that must turn out writable before anything is trained.
        quiet: show no progress bar.

    Raises:
        ValueError: a table is unfit, or a name is unknown; nothing is trained then.
        ImportError: the extra ``tabular`` is not installed.
        OSError: ``out`` cannot be written.
    """
    names.check("classifier", classifiers, CLASSIFIERS)
    require_packages(classifiers)
    several = [datasets] if isinstance(datasets, Dataset) else datasets
    pairs = [(dataset, task) for dataset in several for task in dataset.tasks(tasks)]
    splits = {f"{d.name}/{task}": load_features(d, task) for d, task in pairs}
    missing = {setting: left_out(each, classifiers) for setting, each in splits.items()}
    keys = {setting: next(iter(each.values())).dataset.keys for setting, each in splits.items()}
    if out is not None:
        writable_folder(out)
    units = [(*pair, name) for pair in pairs for name in classifiers]
    tracked = progress.track(units, "evaluating", quiet=quiet)
    frames = [evaluate(*unit, settings) for unit in tracked]
    return TableEvaluation(pd.concat(frames, ignore_index=True), missing, settings, keys)


@dataclass(frozen=True)
class Outcome:
    """Errors of one seed: ``(n_test, arms)``, rows each arm added ``(arms,)``, and the split.

    ``n_copied`` of the added rows equal a test row, ``correction`` is λ, and ``lost`` is 1 where
    one above 0 was given up for a fit without a minimum, ``(arms,)``.
    """

    seed: int
    data: SplitArrays
    errors: np.ndarray
    n_added: np.ndarray
    n_copied: np.ndarray
    correction: np.ndarray
    lost: np.ndarray


def evaluate(dataset: Dataset, task: str, classifier: str, settings: SoundSettings) -> pd.DataFrame:
    """Records of every arm that the tables allow, for one dataset, task and classifier.

    Groups are classes in the task ``imbalanced``, attribute and class in ``spurious``.

    Raises:
        ValueError: a table is unfit (see :func:`opal.bridge.tabular.splits.load`) or lacks a group.
    """
    splits = _arrays(load_features(dataset, task))
    several = splits.values()
    chosen = [arm for arm in ARMS if not any(arms.why_not(arm, d, classifier) for d in several)]
    outcomes = [_seed(seed, data, chosen, classifier, settings) for seed, data in splits.items()]
    frame = pd.DataFrame(_rows(outcomes, chosen))
    frame["synthesizer"] = [_synthesizer(arm, dataset) for arm in frame["arm"]]
    made = frame["arm"].str.startswith("synthetic")
    frame["n_generator"] = np.where(made, dataset.n_generator, 0.0)
    frame = frame.assign(
        study="tabular", source="data", setting=f"{dataset.name}/{task}", classifier=classifier,
        dataset=dataset.name, task=task, protocol="sound", chunk=0, published=np.nan,
    )  # fmt: skip
    return records.validate(frame)


def left_out(
    splits: Mapping[int, Split], classifiers: Sequence[str] = CLASSIFIERS
) -> dict[str, str]:
    """Arms that the tables, or some of the classifiers, do not allow, each with its reason."""
    found: dict[str, str] = {}
    for data in _arrays(splits).values():
        for arm in ARMS:
            reasons = {name: arms.why_not(arm, data, name) for name in classifiers}
            told = [name for name, why in reasons.items() if why]
            if told:
                where = "" if len(told) == len(reasons) else f"for {' and '.join(told)}, "
                found[arm] = f"{where}{reasons[told[0]]}"
    return found


def _arrays(splits: Mapping[int, Split]) -> dict[int, SplitArrays]:
    return {seed: SplitArrays.of(split) for seed, split in splits.items()}


def _seed(
    seed: int, data: SplitArrays, chosen: list[str], classifier: str, settings: SoundSettings
) -> Outcome:
    """Row errors of every arm; arms that draw at random are averaged over their draws."""
    errors = np.zeros((len(data.test), len(chosen)))
    added, copied, correction, lost = np.zeros((4, len(chosen)))
    for arm in (arm for arm in chosen if arm not in MOVED):
        a = chosen.index(arm)
        moved = [chosen.index(each) for each, fit in MOVED.items() if fit == arm]
        draws = settings.draws if arm in RANDOM_ARMS else 1
        for draw in range(draws):
            key = (seed, ARMS.index(arm), draw)
            p, training = probabilities(classifier, arm, data, key, settings)
            errors[:, a] += ((p > 0.5) != data.test.y) / draws
            correction[a], lost[a] = training.correction, training.lost
            added[[a, *moved]] = training.n_added.sum()
            copied[[a, *moved]] = data.tested(training.rows)[len(data.train) :].sum()
        if moved:
            free = arms.thresholds(training.rows, data.test, by_attribute=data.by_attribute)
            errors[:, moved] = ((p > free) != data.test.y)[:, None]
    return Outcome(seed, data, errors, added, copied, correction, lost)


def _synthesizer(arm: str, dataset: Dataset) -> str:
    if arm.startswith("synthetic"):
        return dataset.synthesizer
    names = {"duplication": "duplicate", "smote": "smote", "real_balanced": "real"}
    return names.get(arm, "none")


def _rows(outcomes: list[Outcome], chosen: list[str]) -> list[dict[str, Any]]:
    """Aggregate rows with intervals, then one row for each seed, arm and group."""
    names = outcomes[0].data.group_names
    tests = [o.data.test for o in outcomes]
    counts = np.stack([o.data.train.counts(len(names)) for o in outcomes])
    total = counts.mean(axis=0)
    found = metrics.measured([o.errors for o in outcomes], tests, total == total.min())
    shared = {
        "n_real": round(total.sum()),
        "n_min": int(counts.min()),
        "n_max": int(counts.max()),
        "n_test": round(float(np.mean([len(test) for test in tests]))),
        "shared_test": metrics.shared(tests),
        "n_source": outcomes[0].data.n_source,
        "copied_by_chance": float(np.mean([o.data.twins for o in outcomes])),
    }
    rows: list[dict[str, Any]] = []
    for a, arm in enumerate(chosen):
        n_added = round(float(np.mean([o.n_added[a] for o in outcomes])))
        n_copied = float(np.mean([o.n_copied[a] for o in outcomes]))
        base = {**shared, "arm": arm, "n_oversampled": n_added, "n_copied": n_copied}
        base |= {
            name: float(np.mean([getattr(o, name)[a] for o in outcomes]))
            for name in ("correction", "lost")
        }
        rows += _aggregates(base, a, chosen, found)
        rows += [row for o in outcomes for row in _per_seed(base, a, o, names)]
    return rows


def _aggregates(
    base: dict[str, Any], arm: int, chosen: list[str], found: Mapping[str, metrics.Measured]
) -> Iterator[dict[str, Any]]:
    """Each metric, and its paired differences to the free rules, with errors and intervals.

    The corrected arm has one to the same rows without a correction.
    """
    held_against = dict(verdict.FREE)
    if chosen[arm] == arms.CORRECTED:
        held_against["difference_to_uncorrected"] = "synthetic_balanced"
    for metric, (values, influence) in found.items():
        pairs = {metric: (values[:, arm], influence[..., arm])}
        for name, free in held_against.items():
            other = chosen.index(free)
            pairs[f"{metric}_{name}"] = (
                values[:, arm] - values[:, other],
                influence[..., arm] - influence[..., other],
            )
        for name, (value, change) in pairs.items():
            yield {**base, "metric": name, "n_replicates": len(values), **_interval(value, change)}


def _interval(values: np.ndarray, influence: np.ndarray) -> dict[str, float]:
    of = resampling.crossed(values, influence)
    return {
        "value": of.mean,
        "std_error": of.std_error,
        "lower": of.mean - of.half_width,
        "upper": of.mean + of.half_width,
        "dof": of.dof,
        "error_seeds": math.sqrt(of.of_repetitions),
        "error_rows": math.sqrt(of.of_rows),
        "error_both": math.sqrt(of.of_both),
    }


def _per_seed(
    base: dict[str, Any], arm: int, outcome: Outcome, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    group = outcome.data.test.group
    means = [float(outcome.errors[group == g, arm].mean()) for g in range(len(names))]
    shared = {**base, "replicate": outcome.seed, "n_oversampled": round(outcome.n_added[arm])}
    shared |= {"correction": outcome.correction[arm], "lost": outcome.lost[arm]}
    shared |= {"lower": np.nan, "upper": np.nan, "n_replicates": 1}
    rows = [
        {**shared, "group": name, "metric": "error", "value": value}
        for name, value in zip(names, means, strict=True)
    ]
    rows.append({**shared, "group": "all", "metric": "balanced_error", "value": np.mean(means)})
    return rows
