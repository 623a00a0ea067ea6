"""Evaluations of texts whose truth is known: what each says, beside what it should have said.

A pool is a corpus of the grammar with writers of dialled quality, and test texts for several
evaluations. Each evaluation draws base texts from the one pool, with seeds and test texts of its
own. What an evaluation says is of its pool: the truth of a number is the mean of its exact values
over the seeds of everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal.bridge.resampling import Z95, half_width
from opal.bridge.text import published
from opal.bridge.text.corpus import HUMAN, TextCorpus
from opal.bridge.text.curves import design, evaluate, exchange, measures, train, verdict
from opal.bridge.text.curves.exchange import METRIC
from opal.bridge.text.curves.train import Trained
from opal.bridge.text.encoders import WORDS, encoder
from opal.draws import as_key, named, on_host
from opal.scaling.purchase import MIN_GAIN
from opal.synthesis.writer import Writer

DIFFERENCES = (METRIC, "balanced_risk")
WORST = {"confusion": 0.5, "favour": 0.3, "rebuild": 1.0}
"""Dials of the worst writer there can be; each of the others has a share of them."""
_ECHO, _LINK = 0.2, 0.95
_RULE = ["arm", "synthesizer", "added"]
_FREE = {arm: (arm, "none", 0) for arm in verdict.FREE}
Rule = tuple[str, str, int]
"""Arm, writer and N."""


@dataclass(frozen=True)
class Size:
    """How many evaluations a pool has, and how large they are."""

    evaluations: int
    writers: int
    seeds: int  # of an evaluation
    more_seeds: int  # of none
    sizes: tuple[int, ...]  # N
    n_tests: tuple[int, ...]  # test texts of a verdict
    n_test: int  # those of all else; the first of as many as the largest verdict has


@dataclass(frozen=True, eq=False)
class Draw:
    """What one seed trained."""

    records: pd.DataFrame  # on the test texts of its evaluation
    exact: pd.DataFrame  # exact values of its rules, by arm, writer and N
    rules: Mapping[str, Trained]  # that verdicts are of: free ones by arm, the others by writer
    limits: Mapping[str, float]  # error of endless texts of each writer, if it is of no evaluation


@dataclass(frozen=True, eq=False)
class KnownPool:
    """A corpus, and all that is trained on it; the number decides everything that is drawn."""

    number: int
    size: Size

    @cached_property
    def writers(self) -> dict[str, Writer]:
        """Writers from a good to a bad one."""
        rng = on_host(named(as_key(self.number), "dials"))
        found = {}
        for k in range(self.size.writers):
            share = (k + rng.random(len(WORST))) / self.size.writers
            dials = {dial: s * worst for s, (dial, worst) in zip(share, WORST.items(), strict=True)}
            found[f"writer {k}"] = Writer(**dials, link=_LINK, echo=_ECHO, name=f"writer {k}")
        return found

    @cached_property
    def corpus(self) -> TextCorpus:
        """The texts, without what equals a test text of any evaluation."""
        n_test = self.size.evaluations * max(self.size.n_tests)
        each = -(-n_test // published.GRAMMAR.n_groups)
        key = named(as_key(self.number), "pool")
        made = published.grammar_corpus(key, writers=self.writers, per_group_test=each)
        return made.apart()

    @cached_property
    def draws(self) -> list[Draw]:
        """All seeds: those of each evaluation in turn, then those of none."""
        n = self.size.evaluations * self.size.seeds + self.size.more_seeds
        with threadpool_limits(1):
            return [self._draw(seed) for seed in range(n)]

    def tested(self, evaluation: int, n_test: int) -> np.ndarray:
        """The test texts of an evaluation, as rows of the corpus's; few are the first of many."""
        return evaluation * max(self.size.n_tests) + np.arange(n_test)

    def seeds(self, evaluation: int, n: int) -> list[int]:
        """Those of an evaluation that has n: its own ones, then those of the next."""
        first = evaluation * self.size.seeds
        return [(first + i) % (self.size.evaluations * self.size.seeds) for i in range(n)]

    def exact(self, chosen: Sequence[int]) -> pd.DataFrame:
        """Exact values of all seeds but those chosen, by arm, writer and N."""
        return pd.concat([d.exact for seed, d in enumerate(self.draws) if seed not in chosen])

    def limit(self, writer: str) -> float:
        """The error of endless texts of a writer; ``none`` is that of the best rule."""
        return float(np.mean([draw.limits[writer] for draw in self.draws if writer in draw.limits]))

    def evaluations(self) -> Iterator[tuple[int, pd.DataFrame, pd.DataFrame]]:
        """Each evaluation: its number, its records, and the exact values of the other seeds."""
        for evaluation in range(self.size.evaluations):
            chosen = self.seeds(evaluation, self.size.seeds)
            records = pd.concat([self.draws[seed].records for seed in chosen], ignore_index=True)
            yield evaluation, records, self.exact(chosen)

    def _draw(self, seed: int) -> Draw:
        own = seed // self.size.seeds
        of_none = own >= self.size.evaluations
        rows = self.tested(0 if of_none else own, self.size.n_test)
        data = design.split_data(replace(self.corpus, test=self.corpus.test.iloc[rows]), seed)
        known = encoder(WORDS).features(data.frame["text"].tolist())
        strength = train.tune_strength(data, known, seed, n_folds=train.FOLDS)
        tuned = train.tune_weights(data, known, seed, n_folds=train.FOLDS, strength=strength)
        trainer = train.Trainer(data, known, seed, strength)
        trained = [*train.alone(trainer), *train.grown(trainer, tuned, self.size.sizes)]
        exact = pd.DataFrame(measures.exact([each.rule for each in trained]))
        exact.index = pd.MultiIndex.from_tuples([_rule(t) for t in trained], names=_RULE)
        measured = [] if of_none else [*_rows(data, trained), *evaluate.against(data, trained)]
        same = {"setting": str(self.number), "encoder": WORDS, "replicate": seed}
        frame = pd.DataFrame(measured).assign(**same)
        ends = measures.limits(data, self.writers) if of_none else {}
        limits = {name: found[METRIC] for name, found in ends.items()}
        return Draw(frame, exact, dict(_weighed(trained)), limits)


def differences(pool: KnownPool) -> Iterator[dict[str, Any]]:
    """Differences to weighting, of each arm, writer, N and metric.

    ``seeds_alone`` and ``added_up`` are half-widths by wrong rules: that of seeds which have no
    test texts in common, and that of seeds whose spread holds nothing of their test texts.
    """
    keys = [*_RULE, "metric"]
    for evaluation, rows, exact in pool.evaluations():
        free = rows["arm"].isin(design.BASELINES)
        table = rows[rows["metric"].str.endswith("_difference") & ~free]
        cells = table.assign(squared=table["std_error"] ** 2).groupby(keys)
        spread, own = cells["value"].var(), cells["squared"].mean()
        for row in evaluate.summary(table).itertuples():
            rule: Rule = (row.arm, row.synthesizer, row.added)
            n, both = row.n_replicates, spread[(*rule, row.metric)] / row.n_replicates
            metric = row.metric.removesuffix("_difference")
            yield {
                **_said(row.metric, rule, evaluation, row.value, (row.lower, row.upper)),
                **_truth(exact[metric], rule, _FREE["weighting"]),
                "seeds_alone": half_width(np.sqrt(both), n - 1),
                "added_up": Z95 * np.sqrt(both + own[(*rule, row.metric)]),
            }


def worths(pool: KnownPool) -> Iterator[dict[str, Any]]:
    """What each N of each writer is worth in human texts."""
    for evaluation, rows, exact in pool.evaluations():
        mean = exact[METRIC].groupby(level=_RULE).mean()
        human = exchange.curve(rows, HUMAN)
        for writer in pool.writers:
            made = exchange.curve(rows, writer)
            errors = exchange.errors_of_differences(rows, writer)
            found = exchange.worth(human, made, errors=errors)
            known = exchange.worth(_known(human, mean, HUMAN), _known(made, mean, writer))
            for said, true in zip(found, known, strict=True):
                rule = (exchange.ARM, writer, said.added)
                ends = said.low, said.high
                yield _said("worth", rule, evaluation, said.human, ends) | {"exact": true.human}


def floors(pool: KnownPool) -> Iterator[dict[str, Any]]:
    """The floor of each writer's curve; ``identified`` is 1 where the curve is said to show it."""
    for evaluation, rows, _ in pool.evaluations():
        for writer in pool.writers:
            rule = (exchange.ARM, writer, max(pool.size.sizes))
            try:
                found = exchange.floor(exchange.curve(rows, writer))
            except ValueError:  # a flat curve has no law
                found = exchange.Floor(np.nan, np.nan, np.nan, "there is no law")
            said = _said("floor", rule, evaluation, found.estimate, (found.low, found.high))
            known = {"exact": pool.limit(writer), "identified": float(not found.why_not)}
            yield said | known


def verdicts(pool: KnownPool, n_seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What an evaluation's last lines say, by number of test texts and of seeds.

    ``exact`` is the true change against the better free rule, and ``least`` the least one that
    counts: a share of what is left to gain on the better free rule.
    """
    for n_test in pool.size.n_tests:
        for evaluation in range(pool.size.evaluations):
            measured = _on_tests(pool, evaluation, n_test, max(n_seeds))
            for n in n_seeds:
                chosen = pool.seeds(evaluation, n)
                exact = pool.exact(chosen)[METRIC]
                rows = measured[measured["replicate"].isin(chosen)]
                free, error = min(
                    ((rule, exact.loc[rule].mean()) for rule in _FREE.values()), key=lambda r: r[1]
                )
                for writer in pool.writers:
                    change = verdict.change(rows, writer)
                    if change is None:
                        continue
                    rule = (verdict.ARM, writer, change.added)
                    ends = change.low, change.high
                    yield {
                        **_said("verdict", rule, evaluation, change.value, ends),
                        **_truth(exact, rule, free),
                        "least": MIN_GAIN * (error - pool.limit("none")),
                        "says": change.says,
                        "n_test": n_test,
                        "n_seeds": n,
                    }


def _rule(trained: Trained) -> Rule:
    return trained.arm, trained.writer, trained.added


def _rows(data: design.SplitData, trained: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    """Balanced errors, and the differences to weighting."""
    reference = next(each.measured for each in trained if each.arm == design.REFERENCE)
    for each in trained:
        same = each.described(data) | {"source": "data", "group": "all"}
        yield same | {"metric": METRIC, **each.measured[METRIC].recorded(data.block)}
        for metric in DIFFERENCES:
            less = each.measured[metric].less(reference[metric])
            yield same | {"metric": f"{metric}_difference", **less.recorded(data.block)}


def _weighed(trained: Sequence[Trained]) -> Iterator[tuple[str, Trained]]:
    """The free rules, and that of the most texts of each writer, weighed by cross-validation."""
    for each in trained:
        if each.arm in verdict.FREE:
            yield each.arm, each
        if each.arm == verdict.ARM and each.writer != HUMAN:
            yield each.writer, each  # N grows: the last one stays


def _on_tests(pool: KnownPool, evaluation: int, n_test: int, n_seeds: int) -> pd.DataFrame:
    """Balanced errors of the rules that verdicts are of, as records hold them."""
    test = pool.corpus.test.iloc[pool.tested(evaluation, n_test)]
    x = encoder(WORDS).features(test["text"].tolist()).given(np.empty(0, dtype=int))
    _, y = np.unique(test["label"], return_inverse=True)
    _, group = np.unique(test["label"] + ", " + test["attribute"], return_inverse=True)
    block, rows = design.blocks(test["id"].to_numpy()), []
    for seed in pool.seeds(evaluation, n_seeds):
        for each in pool.draws[seed].rules.values():
            found = measures.measures(each.rule.probabilities(x), y, group)[METRIC]
            same = {"metric": METRIC, "source": "data", "replicate": seed, "n_test": n_test}
            same["n_real"] = int(pool.draws[seed].records["n_real"].max())
            same["alpha"] = each.training.alpha
            rows.append(same | dict(zip(_RULE, _rule(each), strict=True)) | found.recorded(block))
    return pd.DataFrame(rows)


def _said(
    metric: str, rule: Rule, evaluation: int, value: float, ends: tuple[float, float]
) -> dict[str, Any]:
    same = dict(zip(_RULE, rule, strict=True)) | {"metric": metric, "replicate": evaluation}
    return same | {"value": value, "lower": ends[0], "upper": ends[1]}


def _truth(exact: pd.Series, rule: Rule, free: Rule) -> dict[str, float]:
    """The exact difference of two rules, and its standard error over seeds."""
    apart = exact.loc[rule].to_numpy() - exact.loc[free].to_numpy()
    return {"exact": apart.mean(), "exact_error": apart.std(ddof=1) / np.sqrt(len(apart))}


def _known(curve: pd.DataFrame, exact: pd.Series, writer: str) -> pd.DataFrame:
    """The curve of a writer as it would be without any error."""
    total = curve.groupby("added")["total"].mean()
    rules = [(exchange.ARM, writer, n) if n else _FREE["weighting"] for n in total.index]
    exactly = [exact.loc[rule] for rule in rules]
    return pd.DataFrame({"total": total, "value": exactly, "seed": 0}).reset_index()
