"""The published evaluation as records, each number beside the one that was published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal import records
from opal.bridge.tabular import published, tables
from opal.bridge.tabular.datasets import Dataset

ARMS = {"focus": "synthetic", "smote": "smote", "duplicate": "duplication"}
METRICS = {
    "overall": "error",
    "majority": "majority_error",
    "minority": "minority_error",
    "worst": "worst_error",
    "diff": "gap_error",
}


def evaluate(dataset: Dataset, task: str, classifier: str) -> pd.DataFrame:
    """Records of one dataset, task and published classifier.

    ``chunk`` counts fifths of the raw size, ``published`` is the number in the result file (missing
    where there is none), and ``METRIC_sd`` is the standard deviation over the seeds.
    """
    results = published.evaluate(dataset, task, classifier)
    theirs = {
        name: published.read_result(path)
        for name, path in published.result_files(dataset).items()
        if name in results
    }
    rows = []
    for name, by_seed in results.items():
        method, metric = _meaning(name, task)
        split = tables.load(dataset, task, method, int(by_seed.index[0]))
        ours = published.summarise(by_seed)
        known = theirs.get(name, (np.full(6, np.nan), np.full(6, np.nan)))
        base = _base(split, dataset, method, len(by_seed))
        for k in published.CHUNKS:
            at = {"chunk": k, "n_oversampled": k * (len(split.train) // 5)}
            error = ours[1][k] / np.sqrt(len(by_seed))
            mean = {"metric": metric, "value": ours[0][k], "std_error": error}
            rows.append({**base, **at, **mean, "published": known[0][k]})
            deviation = {"metric": f"{metric}_sd", "value": ours[1][k], "std_error": np.nan}
            rows.append({**base, **at, **deviation, "published": known[1][k]})
    frame = pd.DataFrame(rows).assign(
        study="tabular",
        source="data",
        setting=f"{dataset.name}/{task}",
        dataset=dataset.name,
        task=task,
        classifier=classifier,
        protocol="published",
        lower=np.nan,
        upper=np.nan,
    )
    return records.validate(frame)


def _meaning(file: str, task: str) -> tuple[str, str]:
    """Method and metric that a result file's name stands for."""
    if task == "imbalanced":
        return file.split("_")[2], "error"
    return "focus", METRICS[file.split("_")[0]]


def _base(split: tables.Split, dataset: Dataset, method: str, n_seeds: int) -> dict[str, Any]:
    counts = np.bincount(split.groups(split.train))
    return {
        "arm": ARMS.get(method, method),
        "synthesizer": {"focus": dataset.synthesizer}.get(method, method),
        "n_real": len(split.train),
        "n_min": int(counts.min()),
        "n_max": int(counts.max()),
        "n_replicates": n_seeds,
    }
