"""The published evaluation of arXiv 2406.03628, exactly as its numbers were made.

Training starts from the raw table and takes the synthetic rows in file order, a fifth of the raw
size at a time, 0 to 5 chunks. No scaling takes place; a constant column comes first. The imbalanced
task leaves out the last feature column and reports plain error for GPT-4, SMOTE and duplication.
The spurious task uses GPT-4 rows and reports plain error (``overall``), the error pooled over the
test rows of the two majority groups and of the two minority groups, the worst group error, and
the largest minus the smallest (``diff``), the last from a second fit with the constant at the end.
Each number is the mean, and the standard deviation with ddof 1, over the seeds.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal import names, records, validation
from opal.bridge.tabular import datasets
from opal.bridge.tabular.classifiers import catboost
from opal.bridge.tabular.datasets import Dataset
from opal.bridge.tabular.splits import Split, load, require_groups

CLASSIFIERS = ("logistic", "randomForest", "catBoost")
CHUNKS = range(6)
_ARMS = {"focus": "synthetic", "smote": "smote", "duplicate": "duplication"}
_METRICS = {
    "overall": "error",
    "majority": "majority_error",
    "minority": "minority_error",
    "worst": "worst_error",
    "diff": "gap_error",
}


def evaluate(dataset: Dataset, task: str, classifier: str) -> dict[str, pd.DataFrame]:
    """Every published quantity of one dataset, task and classifier.

    Returns:
        Name of the result file (without folder) → table with a row for each seed and a column
        for each number of chunks.

    Raises:
        ValueError: the classifier is unknown, or a split is unfit (see :func:`load_splits`).
    """
    names.check("published classifier", [classifier], CLASSIFIERS)
    results: dict[str, pd.DataFrame] = {}
    for method, loaded in load_splits(dataset, task).items():
        points = pd.concat({s: _points(split, classifier) for s, split in loaded.items()})
        for metric in points:
            first = f"_imbalanced_{method}" if task == "imbalanced" else metric
            results[f"{first}_{classifier}_{dataset.name}.txt"] = points[metric].unstack()
    return results


def load_splits(dataset: Dataset, task: str) -> dict[str, dict[int, Split]]:
    """Method → seed → split, for the methods whose results are published; each is fit for use.

    Raises:
        ValueError: a table is unfit (see :func:`opal.bridge.tabular.splits.load`), lacks a group,
            or has too few synthetic rows.
    """
    found: dict[str, dict[int, Split]] = {}
    for method in [m for t, m in dataset.folders if t == task]:
        if task == "spurious" and method != "focus":
            continue
        seeds = dataset.seeds(task, method)
        found[method] = {s: load(dataset, task, method, s) for s in seeds}
        for split in found[method].values():
            _check(split)
    return found


def _check(split: Split) -> None:
    """Refuse a split with too few synthetic rows, or whose test table lacks a group."""
    needed = _chunk(split) * CHUNKS[-1]
    if len(split.synthetic) < needed:
        raise ValueError(
            f"the published protocol adds up to {needed} synthetic rows; "
            f"{split.dataset.name}, {split.task}/{split.method}, seed {split.seed} has "
            f"{len(split.synthetic)}. Use --protocol sound."
        )
    if split.task == "spurious":
        require_groups(split, "test", split.groups(split.test))


def _chunk(split: Split) -> int:
    """Synthetic rows that one step adds."""
    return len(split.train) // (len(CHUNKS) - 1)


def _points(split: Split, classifier: str) -> pd.DataFrame:
    return pd.DataFrame(_point(split, classifier, k * _chunk(split)) for k in CHUNKS)


def _point(split: Split, classifier: str, n_synthetic: int) -> dict[str, float]:
    """Errors after training on the raw table and the first ``n_synthetic`` synthetic rows."""
    rows = pd.concat([split.train, split.synthetic.iloc[:n_synthetic]])
    labels, truth = rows[split.dataset.target], split.labels(split.test)
    features = split.features[:-1] if split.task == "imbalanced" else split.features
    x_train, x_test = rows[features], split.test[features]
    wrong = _predict(split, classifier, x_train, labels, x_test, first=True) != truth
    if split.task == "imbalanced":
        return {"error": float(wrong.mean())}
    again = _predict(split, classifier, x_train, labels, x_test, first=False) != truth
    group = split.groups(split.test)
    errors = [wrong[group == g].mean() for g in range(4)]
    spread = [again[group == g].mean() for g in range(4)]
    majority = np.isin(group, (0, 3))  # (attribute, label) = (0, 0) and (1, 1)
    return {
        "overall": float(wrong.mean()),
        "majority": float(wrong[majority].mean()),
        "minority": float(wrong[~majority].mean()),
        "worst": float(max(errors)),
        "diff": float(max(spread) - min(spread)),
    }


def _predict(
    split: Split,
    classifier: str,
    x_train: pd.DataFrame,
    labels: pd.Series,
    x_test: pd.DataFrame,
    *,
    first: bool,
) -> np.ndarray:
    """Predicted labels, ``(n_test,)``, of the published classifier.

    The constant column is put in by hand: ``add_constant`` skips tables that have one already.
    """
    at = 0 if first else x_train.shape[1]
    design, new = (np.insert(x.to_numpy(dtype=float), at, 1.0, axis=1) for x in (x_train, x_test))
    return _FITS[classifier](split, design, labels.to_numpy(dtype=float), new)


def _logistic(_: Split, x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Unpenalised binomial GLM; on separable data statsmodels stops at its iteration limit."""
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = sm.GLM(y, x, family=sm.families.Binomial()).fit()
        return (fitted.predict(new) > 0.5).astype(int)


def _random_forest(split: Split, x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier

    imbalanced = split.task == "imbalanced"
    settings: dict[str, Any] = dict(split.dataset.forest if imbalanced else datasets.DEFAULT_FOREST)
    forest = RandomForestClassifier(random_state=1, **settings).fit(x, y)
    return (forest.predict(new) > 0.5).astype(int)


def _catboost(_: Split, x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    model = catboost(42).fit(x, y)
    return (np.asarray(model.predict(new), dtype=float).ravel() > 0.5).astype(int)


_FITS = {"logistic": _logistic, "randomForest": _random_forest, "catBoost": _catboost}


def require_packages(classifiers: Iterable[str]) -> None:
    """Check that the packages of these classifiers are installed.

    Raises:
        ImportError: one is not.
    """
    packages = {"logistic": "statsmodels", "catBoost": "catboost"}
    validation.require_installed("tabular", *(packages[c] for c in classifiers if c in packages))


def summarise(by_seed: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (ddof 1) over the seeds, each ``(6,)``."""
    return by_seed.mean(axis=0).to_numpy(), by_seed.std(axis=0, ddof=1).to_numpy()


def read_result(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Published mean and standard deviation, each ``(6,)``.

    Raises:
        ValueError: the file is not ``Mean: [...]`` and ``Std: [...]``.
    """
    match = re.search(r"Mean:\s*(\[.*?\])\s*Std:\s*(\[.*?\])", path.read_text(), re.DOTALL)
    if match is None:
        raise ValueError(f"a published result is `Mean: [...]` and `Std: [...]`; {path} is not.")
    mean, deviation = (np.array(ast.literal_eval(part), dtype=float) for part in match.groups())
    return mean, deviation


def result_files(dataset: Dataset) -> dict[str, Path]:
    """Published result files of a dataset: name → verified local path; empty where none are."""
    root = getattr(dataset.files, "root", None)
    if root is not None:
        parents = [root, *root.parents]
        results = next((p / "main/results" for p in parents if (p / "main/results").is_dir()), None)
        found = sorted(results.glob(f"*_{dataset.name}.txt")) if results else []
        return {path.name: path for path in found}
    pattern = re.compile(rf"main/results/(.*_{re.escape(dataset.name)}\.txt)")
    matches = [match for name in dataset.files.names() if (match := pattern.fullmatch(name))]
    return {match[1]: dataset.files.path(match[0]) for match in matches}


def compare(results: Mapping[str, pd.DataFrame], datasets: Iterable[Dataset]) -> dict[str, Any]:
    """Largest absolute difference to each published file that has a counterpart in ``results``.

    Returns:
        ``n_files``, ``max_abs_difference`` (None where nothing is published) and ``files``.
    """
    files = {}
    for dataset in datasets:
        for name, path in result_files(dataset).items():
            if name in results:
                pairs = zip(summarise(results[name]), read_result(path), strict=True)
                files[name] = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    largest = max(files.values()) if files else None
    return {"n_files": len(files), "max_abs_difference": largest, "files": files}


def as_records(dataset: Dataset, task: str, classifier: str) -> pd.DataFrame:
    """Records of one dataset, task and published classifier.

    ``chunk`` counts fifths of the raw size, ``published`` is the number in the result file (missing
    where there is none), and ``METRIC_sd`` is the standard deviation over the seeds.
    """
    results = evaluate(dataset, task, classifier)
    theirs = {
        name: read_result(path) for name, path in result_files(dataset).items() if name in results
    }
    rows = []
    for name, by_seed in results.items():
        spoken = name.split("_")  # `_imbalanced_METHOD_…`, or `METRIC_…`
        imbalanced = task == "imbalanced"
        method, metric = (spoken[2], "error") if imbalanced else ("focus", _METRICS[spoken[0]])
        split = load(dataset, task, method, int(by_seed.index[0]))
        counts, n_seeds = np.bincount(split.groups(split.train)), len(by_seed)
        ours = summarise(by_seed)
        errors = ours[1] / np.sqrt(n_seeds), np.full(6, np.nan)
        known = theirs.get(name, (np.full(6, np.nan), np.full(6, np.nan)))
        base = {
            "arm": _ARMS.get(method, method),
            "synthesizer": dataset.synthesizer if method == "focus" else method,
            "n_real": len(split.train),
            "n_min": int(counts.min()),
            "n_max": int(counts.max()),
            "n_replicates": n_seeds,
        }
        for k, (i, end) in product(CHUNKS, enumerate(("", "_sd"))):
            at = {"chunk": k, "n_oversampled": k * _chunk(split), "metric": metric + end}
            found = {"value": ours[i][k], "std_error": errors[i][k], "published": known[i][k]}
            rows.append({**base, **at, **found})
    frame = pd.DataFrame(rows).assign(
        study="tabular", source="data", setting=f"{dataset.name}/{task}", dataset=dataset.name,
        task=task, classifier=classifier, protocol="published", lower=np.nan, upper=np.nan,
    )  # fmt: skip
    return records.validate(frame)
