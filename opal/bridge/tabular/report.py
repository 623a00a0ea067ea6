"""What evaluations and parsed texts found, as blocks of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from opal.bridge.render import Block, Cell, Figure, Heading, Items, Paragraph, Table
from opal.bridge.tabular.arms import ARMS, CORRECTED, REFERENCE
from opal.bridge.tabular.classifiers import SoundSettings
from opal.bridge.tabular.picture import CLASSIFIERS, arm_label
from opal.bridge.tabular.verdict import verdict

TITLE = "Synthetic rows against group weighting"
_ERRORS = {"balanced_error": "balanced", "minority_error": "minority", "worst_error": "worst group"}
_CAVEATS = """\
Balanced: the mean of the group errors; minority: the mean over the smallest groups in training; \
worst group: the group with the largest error averaged over the seeds. Differences are paired with \
group weighting on seeds and test rows; below zero is better.
Intervals: of 95 %, by Student's t over the seeds; test rows that seeds share count once, and one \
seed shows the error over its test rows alone. Splits of one source table overlap: the interval of \
a difference then covers another table of the same law as well, that of an arm's own error less \
often. None is corrected for the number of comparisons on this page.
Row weights: they move a linear rule, but hardly a classifier that can fit every row (boosted \
trees): there weighting is a weak reference, and the moved threshold is the one to beat.
Rows added: the mean over the seeds. Where a generator made too few rows of a group, "to balance" \
stops short of balance, and "none recited" stops shorter: read them with this number. "As many \
real rows" has seen so many more real rows than the others."""
Evaluations = Sequence[Mapping[str, Any]]
LeftOut = Mapping[str, Mapping[str, str]]
Keys = Mapping[str, Sequence[str]]


def evaluations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each setting and classifier with its arms: counts, metrics and differences, as JSON."""
    found = []
    aggregate = frame[frame["replicate"].isna()]
    for (setting, classifier), rows in aggregate.groupby(["setting", "classifier"], sort=False):
        dataset, task = str(setting).rsplit("/", 1)
        n_seeds = int(rows["n_replicates"].iloc[0])
        base = {"dataset": dataset, "task": task, "classifier": classifier, "n_seeds": n_seeds}
        arms = [_arm(arm, rows[rows["arm"] == arm]) for arm in ARMS if (rows["arm"] == arm).any()]
        base |= {"n_real": int(rows["n_real"].iloc[0]), "verdict": verdict(rows)}
        of_seeds = frame[(frame["setting"] == setting) & (frame["classifier"] == classifier)]
        base["correction"] = _corrections(of_seeds)
        found.append({**base, "arms": arms})
    return found


def _corrections(rows: pd.DataFrame) -> dict[str, Any] | None:
    """The λ of each seed, in how many one above 0 was given up, and what changed; or None."""
    mine = rows[rows["arm"] == CORRECTED]
    if mine.empty:
        return None
    seeds = mine[mine["replicate"].notna() & (mine["metric"] == "balanced_error")]
    change = mine[mine["metric"] == "balanced_error_difference_to_uncorrected"].iloc[0]
    ends = {name: float(change[name]) for name in ("value", "std_error", "lower", "upper")}
    return {"chosen": seeds["correction"].tolist(), "lost": int(seeds["lost"].sum()), **ends}


def _corrected(entry: Mapping[str, Any]) -> Iterator[Block]:
    """Which shares of the bias were subtracted, and what that changed."""
    if (found := entry["correction"]) is None:
        return
    told, lost = ", ".join(f"{each:g}" for each in found["chosen"]), found["lost"]
    given_up = f" In {lost} the fit had no minimum, and 0 is used." if lost else ""
    yield Paragraph(
        "Of the bias that is seen in the largest group, cross-validation subtracts, by seed: "
        f"{told}.{given_up} Against the same rows without it, the balanced error changes: "
        f"{_interval(found, '+')}."
    )


def _arm(arm: str, rows: pd.DataFrame) -> dict[str, Any]:
    metrics = rows.set_index("metric")[["value", "std_error", "lower", "upper"]].to_dict("index")
    first = rows.iloc[0]
    about = {"synthesizer": str(first["synthesizer"]), "n_added": int(first["n_oversampled"])}
    return {"arm": arm, **about, **{str(name): found for name, found in metrics.items()}}


def page(
    done: Evaluations, left_out: LeftOut, keys: Keys, settings: SoundSettings, figure: Figure
) -> Iterator[Block]:
    """Verdicts, then how often each arm is better, then a table for each evaluation."""
    yield from _verdicts(done)
    yield figure
    yield Paragraph(
        "Evaluations (dataset, task, classifier) in which an arm's interval lies wholly below or "
        "above group weighting, and the mean difference."
    )
    yield _tally(done)
    caveats = (line.partition(": ") for line in _CAVEATS.splitlines())
    yield Items([(f"{term}:", told) for term, _, told in caveats])
    yield Paragraph(
        f"Settings: {settings.folds} folds, {settings.trees} trees, {settings.draws} draws, "
        f"seed {settings.seed}."
    )
    for entry in done:
        yield Heading(_named(entry))
        yield Paragraph(f"{entry['n_real']} real training rows, {entry['n_seeds']} seeds.")
        yield _arms_table(entry)
        yield from _corrected(entry)
    yield from _left_out(left_out, keys)


def summary(result: Mapping[str, Any]) -> Iterator[Block]:
    """What a sound evaluation wrote, in a terminal: one table for each setting and classifier."""
    for entry in result["evaluations"]:
        yield Heading(_named(entry))
        yield _arms_table(entry, intervals=False)
        yield from _corrected(entry)
    yield from _left_out(result["left_out"], result["keys"])
    yield Items([("", f"wrote {path}") for path in result["written"].values()])
    yield from _verdicts(result["evaluations"])


def _verdicts(done: Evaluations) -> Iterator[Block]:
    told = [
        f"{_named(entry)}: {entry['verdict']['sentence']}" for entry in done if entry["verdict"]
    ]
    if told:
        yield Heading("Verdict")
        yield from map(Paragraph, told)


def _named(entry: Mapping[str, Any]) -> str:
    return f"{entry['dataset']}, {entry['task']} task, {CLASSIFIERS[entry['classifier']][3]}"


def _left_out(left_out: LeftOut, keys: Keys) -> Iterator[Block]:
    lines = [
        ("", f"{setting}: columns left out, since they only tell rows apart: {', '.join(names)}.")
        for setting, names in keys.items()
        if names
    ]
    lines += [
        ("", f"{setting}: {arm_label(arm)} left out: {why}.")
        for setting, reasons in left_out.items()
        for arm, why in reasons.items()
    ]
    if lines:
        yield Items(lines)


def _tally(done: Evaluations) -> Table:
    """In how many evaluations each arm's interval lies below, around or above weighting."""
    rows: list[list[Cell]] = []
    for arm in (arm for arm in ARMS if arm != REFERENCE):
        mine = [a for entry in done for a in entry["arms"] if a["arm"] == arm]
        if mine:
            label = arm_label(arm, mine[0]["synthesizer"])
            rows.append([label, len(mine), *(_counted(mine, metric) for metric in _ERRORS)])
    return Table(["arm", "evaluations", *(f"{name} error" for name in _ERRORS.values())], rows)


def _counted(arms: Sequence[Mapping[str, Any]], metric: str) -> str:
    found = [arm[f"{metric}_difference"] for arm in arms]
    better, worse = sum(d["upper"] < 0 for d in found), sum(d["lower"] > 0 for d in found)
    mean = sum(d["value"] for d in found) / len(found)
    return f"{better} better, {worse} worse ({mean:+.3f})"


def _arms_table(entry: Mapping[str, Any], *, intervals: bool = True) -> Table:
    """The arms of one evaluation; differences always come with their intervals."""
    head = ["arm", "rows added"]
    for name in _ERRORS.values():
        head += [f"{name} error", "minus weighting"]
    rows = []
    for arm in entry["arms"]:
        row: list[Cell] = [arm_label(arm["arm"], arm["synthesizer"]), arm["n_added"]]
        for metric in _ERRORS:
            level = arm[metric]
            row.append(_interval(level, "") if intervals else f"{level['value']:.3f}")
            is_reference = arm["arm"] == REFERENCE
            row.append(None if is_reference else _interval(arm[f"{metric}_difference"], "+"))
        rows.append(row)
    return Table(head, rows)


def _interval(found: Mapping[str, float], sign: str) -> str:
    if sign and found["value"] == found["std_error"] == 0.0:
        return "no row differs"
    return f"{found['value']:{sign}.3f} [{found['lower']:{sign}.3f}, {found['upper']:{sign}.3f}]"


def published(result: Mapping[str, Any]) -> Iterator[Block]:
    """Mean errors for 0 to 5 chunks, one line for each result file."""
    rows = [[name, *found["mean"]] for name, found in result["files"].items()]
    yield Table(["file", *map(str, range(6))], rows, "mean error by chunks of synthetic rows")


def comparison(result: Mapping[str, Any]) -> Iterator[Block]:
    """The largest difference to each published file."""
    rows = [[name, f"{value:.1e}"] for name, value in result["files"].items()]
    if not rows:
        yield Paragraph("nothing is published for these tables.")
        return
    yield Table(["file", "difference"], rows, "largest difference to the published file")
    yield Paragraph(f"{len(rows)} files, largest difference {result['max_abs_difference']:.1e}")


def parsed(result: Mapping[str, Any]) -> Iterator[Block]:
    """Counts, then each rejected line with its reason."""
    yield Paragraph(
        f"{result['n_rows']} rows and {result['n_rejected']} rejected lines in "
        f"{result['n_lines']} lines ({result['n_blank']} blank, {result['n_marks']} that only mark "
        "something, as fences and the header of a table do)"
    )
    rows = [[row["line"], row["reason"], row["text"][:60]] for row in result["rejected"]]
    if rows:
        yield Table(("line", "reason", "text"), rows, "rejected")
    if result["out"]:
        yield Paragraph(f"wrote {result['out']}")
