"""Where :class:`opal.bridge.sampler.OpalSampler` gets its synthetic rows and texts from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from opal import spelling
from opal.bridge.features import rows_of
from opal.bridge.llm.budget import Budget, Limits
from opal.bridge.llm.request import ModelSettings
from opal.bridge.prompts import transcript
from opal.bridge.prompts.common import identity
from opal.bridge.target import matched
from opal.bridge.text.corpus import text_table
from opal.synthesis.resample import Duplication
from opal.synthesis.synthesizer import Synthesizer

if TYPE_CHECKING:
    from opal.bridge.llm.request import Client, WrittenSample

Shortage = Literal["raise", "fewer"]


@dataclass(frozen=True)
class Asked:
    """A language model that writes what is needed, from the rows or texts that are resampled.

    Every request is kept in the ledger: the same data are asked about in the same way, and paid
    for once.

    Attributes:
        settings: model and parameters of the requests.
        ledger: its file.
        client: makes the client; None to use the ledger alone.
        budget: of all that the ledger holds.
        limits: of the client.
        descriptions: what a class means, in a sentence, for texts.
        key: of the draws of seeds; not the sampler's, or each fit would buy anew.
    """

    settings: ModelSettings
    ledger: Path
    client: Callable[[], Client] | None = None
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    descriptions: Mapping[str, str] | None = None
    key: int = 0


@dataclass(frozen=True, eq=False)
class Real:
    """The data that are resampled."""

    x: np.ndarray  # numbers or whatever columns hold [n, d], or texts [n]
    label: np.ndarray  # class of each, 0 … K−1 [n]
    classes: tuple[object, ...]  # the K labels
    columns: tuple[str, ...] = ()  # names of the features; none for texts
    target: str = "label"  # name of the label

    @property
    def are_texts(self) -> bool:
        """Whether they are texts."""
        return self.x.ndim == 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Real rows of each class [K]."""
        return tuple(np.bincount(self.label, minlength=len(self.classes)).tolist())

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row or text, under which lineage names it."""
        if self.are_texts:
            return [identity(text) for text in self.x]
        names = (*self.columns, self.target)
        rows = ((*x, self.code(int(y))) for x, y in zip(self.x, self.label, strict=True))
        if self.x.dtype != object:
            return [identity(transcript.sentence(names, tuple(map(float, row)))) for row in rows]
        return [
            identity(
                ", ".join(f"{name} is {value}" for name, value in zip(names, row, strict=True))
            )
            for row in rows
        ]

    def code(self, label: int) -> float:
        """The number that stands for a class: itself if it is one, otherwise its place."""
        value = self.classes[label]
        return float(value) if isinstance(value, int | float | np.number) else float(label)


class Made(NamedTuple):
    """Synthetic rows or texts of a class."""

    x: Any  # numbers [k, d], texts [k], or rows of a pool
    writer: Sequence[str]  # who made each [k]
    seeds: Sequence[tuple[str, ...]]  # ids of what each was made from [k]
    row: np.ndarray  # the row of the real data that it copies, −1 for none [k]

    def part(self, start: int, stop: int) -> Made:
        """Some of them."""
        cut = slice(start, stop)
        some = rows_of(self.x, np.arange(len(self.writer))[cut])
        return Made(some, self.writer[cut], self.seeds[cut], self.row[cut])


def make(
    source: Synthesizer | pd.DataFrame | Asked, real: Real, wanted: Sequence[int], seed: int
) -> list[Made]:
    """Synthetic rows of each class: as many as are ``wanted`` [K], of a pool perhaps fewer.

    Raises:
        ValueError: the source cannot make rows of this kind; what else synthesizers, prompters and
            the ledger refuse.
    """
    if isinstance(source, Duplication):
        return _copied(source, real, wanted, seed)
    if isinstance(source, pd.DataFrame):
        return _pooled(source, real, wanted)
    if isinstance(source, Asked):
        return _asked(source, real, wanted)
    if real.are_texts:
        raise ValueError(
            "texts need Duplication(), a table of bought texts, or Asked(...); got "
            f"{source.name!r}, which makes rows of numbers."
        )
    return _drawn(source, real, wanted, seed)


def _copied(source: Duplication, real: Real, wanted: Sequence[int], seed: int) -> list[Made]:
    rng, made = np.random.default_rng(seed), []
    for label, n in enumerate(wanted):
        own = np.flatnonzero(real.label == label)
        row = own[np.arange(n) % len(own)] if source.in_turn else rng.choice(own, n)
        seeds = [(real.ids[i],) for i in row]
        made.append(Made(real.x[row], [source.name] * n, seeds, row))
    return made


def _drawn(source: Synthesizer, real: Real, wanted: Sequence[int], seed: int) -> list[Made]:
    """From the law that the synthesizer fits, in double precision."""
    import jax
    import jax.numpy as jnp

    from opal.draws import as_key, named
    from opal.settings.groups import Group, Sample

    order = np.argsort(real.label, kind="stable")
    groups = tuple(Group(str(name), k) for k, name in enumerate(real.classes))
    with jax.enable_x64(True):
        key = as_key(seed)
        x, y = jnp.asarray(real.x[order], float), jnp.asarray(real.label[order])
        law = source.fit(Sample(x, y, real.counts), groups, key=named(key, "fit"))
        drawn = np.asarray(law.sample(tuple(wanted), key=named(key, "sample")).x)
    parts = np.split(drawn, np.cumsum(wanted)[:-1])
    # Each was made from all rows of its class together, and copies none.
    return [Made(x, [source.name] * len(x), [()] * len(x), np.full(len(x), -1)) for x in parts]


def _pooled(pool: pd.DataFrame, real: Real, wanted: Sequence[int]) -> list[Made]:
    """The first of each class whose seeds are all among the real data, in the pool's order.

    What was made from a row that is not there must not be trained on: the row may be held out.
    """
    columns = ("text",) if real.are_texts else real.columns
    target = "label" if real.are_texts else real.target
    place = _places(pool, columns, target)
    seeds = _seeds(pool)
    known = frozenset(real.ids) if any(seeds) else frozenset()
    usable = np.array([known.issuperset(each) for each in seeds], dtype=bool)
    source = [str(each) for each in pool.get("source", ["pool"] * len(pool))]
    rows = pool.iloc[:, [place[name] for name in columns]]
    label = matched(pool.iloc[:, place[target]], real.classes, f"column {target!r}")
    made = []
    for k, n in enumerate(wanted):
        mine = np.flatnonzero(usable & (label == k))[:n]
        lineage = [source[i] for i in mine], [seeds[i] for i in mine]
        x = rows["text"].to_numpy(dtype=object)[mine] if real.are_texts else rows.iloc[mine]
        made.append(Made(x, *lineage, np.full(len(mine), -1)))
    return made


def _seeds(pool: pd.DataFrame) -> list[tuple[str, ...]]:
    """Ids of what each sample of the pool was made from; none where it does not say."""
    found = []
    for row, each in pool.get("seeds", pd.Series([()] * len(pool))).items():
        if isinstance(each, str) or not isinstance(each, Collection):
            raise ValueError(
                f"column 'seeds' of the pool must hold lists of ids; it holds {each!r} in row "
                f"{row}. Read the file with opal.bridge.text.read_texts, or split them."
            )
        found.append(tuple(each))
    return found


def _places(pool: pd.DataFrame, columns: Sequence[str], target: str) -> dict[str, int]:
    """Where the pool has each column that is needed.

    Raises:
        ValueError: it has none or several of a name.
    """
    needed, names = [*columns, target], list(map(str, pool.columns))
    missing = [name for name in needed if name not in names]
    if missing:
        texts = (
            f" If samples are texts, give X as one column, X[{columns[0]!r}], and not as a table."
            if len(columns) == 1 and columns[0] in missing and "text" in names
            else ""
        )
        raise ValueError(
            f"the pool needs the columns {', '.join(needed)}; missing: {', '.join(missing)}. "
            f"There are: {', '.join(names)}.{texts}"
        )
    for name in needed:
        if names.count(name) > 1 or needed.count(name) > 1:
            whose = "the pool has" if names.count(name) > 1 else "X and the label together have"
            raise ValueError(
                f"columns of a pool are found by name; {whose} {name!r} twice. Rename one."
            )
    return {name: names.index(name) for name in needed}


def _asked(source: Asked, real: Real, wanted: Sequence[int]) -> list[Made]:
    from opal.bridge.llm.generate import generate
    from opal.bridge.llm.ledger import Ledger
    from opal.bridge.prompts.table import TablePrompter
    from opal.bridge.prompts.text import TextPrompter

    prompter: TextPrompter | TablePrompter
    if real.are_texts:
        groups = [spelling.name(str(name)) for name in real.classes]
        frame = text_table(list(real.x), [groups[k] for k in real.label])
        prompter = TextPrompter(
            frame, source.settings, key=source.key, descriptions=source.descriptions
        )
    else:
        codes = [real.code(k) for k in range(len(real.classes))]
        groups = [transcript.name_of([real.target], (code,)) for code in codes]
        table = pd.DataFrame(real.x, columns=list(real.columns))
        table[real.target] = [codes[k] for k in real.label]
        prompter = TablePrompter(table, real.target, source.settings, key=source.key)
    quotas = {group: n for group, n in zip(groups, wanted, strict=True) if n}
    if not quotas:
        return [_written([], real) for _ in groups]
    client = None if source.client is None else source.client()
    with Ledger(source.ledger) as ledger:
        samples = generate(
            prompter, quotas, client, ledger, limits=source.limits, budget=source.budget
        )
    return [_written([s for s in samples if s.group == group], real) for group in groups]


def _written(samples: Sequence[WrittenSample], real: Real) -> Made:
    x: np.ndarray = np.empty(len(samples), dtype=object)
    x[:] = [sample.content for sample in samples]
    if not real.are_texts:
        x = pd.DataFrame(list(x), columns=list(real.columns)).to_numpy(dtype=float)
    lineage = [sample.model for sample in samples], [sample.seeds for sample in samples]
    return Made(x, *lineage, np.full(len(samples), -1))
