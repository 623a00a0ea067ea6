"""Labelled texts: a table of them, one row a text, and a corpus of several tables.

=========== ====================================================================================
id          16 hexadecimal digits of the sha256 of the text: equal texts are one
text        the text, as it came
label       its class, without spaces around it and what is invisible (:func:`opal.spelling.name`)
source      ``human``, or the name of the model that wrote it
seeds       ids of the texts that it was made from; none for a human's
attribute   optional: what the label may spuriously go with
=========== ====================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from opal import spelling
from opal.bridge.prompts.common import identity
from opal.spelling import canonical, folded

HUMAN = "human"
COLUMNS = ("id", "text", "label", "source", "seeds")
ATTRIBUTE = "attribute"
_SEEN_ANYWAY = 50  # characters from which a text is taken to have some that can be seen
_TESTED = 1 / 3  # of the human texts of each class, where no test texts are given
# Each pair of tables is compared once; synthetic texts with all human ones.
_COMPARED: Mapping[str, tuple[str, ...]] = {
    "base": ("test",),
    "human": ("base", "test"),
    "test": (),
}


def text_table(
    text: Sequence[object],
    label: Sequence[object],
    *,
    source: str = HUMAN,
    seeds: Iterable[Collection[str]] | None = None,
    attribute: Sequence[object] | None = None,
) -> pd.DataFrame:
    """A table of texts of one source.

    Args:
        text: n strings.
        label: their classes, strings.
        source: ``human``, or the name of the model that wrote them.
        seeds: ids of the texts that each was made from; none by default.
        attribute: of each text, a string, if there is one.

    Raises:
        ValueError: the rules of :func:`validate_texts`, or columns of different lengths.
    """
    made_from = [()] * len(text) if seeds is None else [tuple(each) for each in seeds]
    columns = {"text": list(text), "label": _named(label), "seeds": made_from}
    if attribute is not None:
        columns[ATTRIBUTE] = _named(attribute)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"every text needs each of its columns once; got lengths {lengths}.")
    frame = pd.DataFrame({"source": [source] * len(text), **columns})
    require_strings(frame, "text", "give a text for every row, or drop the rows without")
    frame.insert(0, "id", [identity(each) for each in frame["text"]])
    rest = [ATTRIBUTE] if attribute is not None else []
    return validate_texts(frame[[*COLUMNS, *rest]])


def validate_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, once it is known to follow the rules.

    Raises:
        ValueError: a column is missing, a text or label is no string or empty, an id is not that
            of its text, or labels (attributes, sources) differ in nothing but their spelling.
    """
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise ValueError(
            f"a table of texts needs the columns {', '.join(COLUMNS)}; missing: "
            f"{', '.join(missing)}. Build it with opal.bridge.text.text_table."
        )
    require_strings(frame, "text", "give a text for every row, or drop the rows without")
    require_strings(frame, "label", "label every text, or drop the rows without a label")
    require_strings(frame, "source", "name the model, or write 'human'")
    if ATTRIBUTE in frame:
        require_strings(frame, ATTRIBUTE, "give an attribute for every text, or leave it out")
    for name in ("label", "source", *([ATTRIBUTE] if ATTRIBUTE in frame else [])):
        _require_one_spelling(name, frame)
    wrong = [i != identity(text) for i, text in zip(frame["id"], frame["text"], strict=True)]
    if any(wrong):
        raise ValueError(
            f"id must be that of the text; it is not in {_places(np.array(wrong))}. Build the "
            "table with opal.bridge.text.text_table."
        )
    return frame


def stacked(tables: Mapping[Any, pd.DataFrame]) -> tuple[pd.DataFrame, dict[Any, np.ndarray]]:
    """All tables one below the other, and the rows that each has there."""
    ends = np.cumsum([len(each) for each in tables.values()])
    rows = np.split(np.arange(ends[-1]), ends[:-1])
    return pd.concat(tables.values(), ignore_index=True), dict(zip(tables, rows, strict=True))


def leaks(frame: pd.DataFrame, held_out: Collection[str]) -> np.ndarray:
    """Which texts must not be trained on while others, given by their ids, are held out [n].

    Those that equal a held-out text, those that were made from one, and all that equal such a
    one: a model may write the same text from two seeds.
    """
    hidden = frozenset(held_out)
    made = [not hidden.isdisjoint(seeds) for seeds in frame["seeds"]]
    hidden |= set(frame["id"][np.array(made, dtype=bool)])
    return frame["id"].isin(hidden).to_numpy()


def made_from(frame: pd.DataFrame, at_hand: Collection[str]) -> np.ndarray:
    """Which texts were made from none but those of the ids at hand [n]; human ones are."""
    known = frozenset(at_hand)
    return np.array([known.issuperset(seeds) for seeds in frame["seeds"]], dtype=bool)


def labels_of(*frames: pd.DataFrame) -> tuple[str, ...]:
    """All classes of the tables, sorted.

    Raises:
        ValueError: some differ in nothing but their spelling.
    """
    _require_one_spelling("label", *frames)
    return tuple(sorted({label for frame in frames for label in frame["label"].unique()}))


def one_spelling(*frames: pd.DataFrame) -> list[pd.DataFrame]:
    """The tables with one id for all spellings of a text, that of the first one; seeds likewise.

    What compares ids then knows a text again in another case, with other marks or accents.
    """
    texts = [pair for each in frames for pair in zip(each["id"], each["text"], strict=True)]
    first: dict[str, str] = {}
    known = {id_: first.setdefault(folded(text), id_) for id_, text in dict(texts).items()}
    if all(id_ == other for id_, other in known.items()):
        return list(frames)
    return [
        each.assign(
            id=each["id"].map(known),
            seeds=[tuple(known.get(seed, seed) for seed in seeds) for seeds in each["seeds"]],
        )
        for each in frames
    ]


@dataclass(frozen=True)
class TextCorpus:
    """Tables of texts of one task.

    Attributes:
        name: of the corpus.
        labels: all classes, sorted.
        base: the few human texts that synthetic ones were made from.
        human: more human texts, to compare with.
        test: human texts to test on.
        synthetic: the texts of each source; their seeds are base texts.
        notes: what one must know before one trusts a number: overlaps, repetitions, omissions.
    """

    name: str
    labels: tuple[str, ...]
    base: pd.DataFrame
    human: pd.DataFrame
    test: pd.DataFrame
    synthetic: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...] = ()

    def apart(self) -> TextCorpus:
        """The corpus without what leaks: train on this one.

        No text of ``base``, ``human`` or ``synthetic`` equals a test text, be it but for case,
        marks and spelling, or was made from such a one; none of ``human`` equals a base text. All
        spellings of a text have one id (:func:`one_spelling`).
        """
        tables = dict(self.tables())
        tables = dict(zip(tables, one_spelling(*tables.values()), strict=True))
        whole, human, test = (tables.pop(name) for name in ("base", "human", "test"))
        held_out = frozenset(test["id"])
        base = _without(whole, held_out)
        return replace(
            self,
            base=base,
            human=_without(human, held_out | frozenset(base["id"])),
            test=test,
            synthetic={name: _without(frame, held_out) for name, frame in tables.items()},
        )

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """All tables with their names."""
        yield from (("base", self.base), ("human", self.human), ("test", self.test))
        yield from self.synthetic.items()


def faults(corpus: TextCorpus) -> tuple[str, ...]:
    """What is repeated, contradicted or on both sides, a line each; nothing that does not occur."""
    return tuple(
        f"{table}: {n} of {len(frame)} {what}"
        for table, frame in corpus.tables()
        for n, what in _found(corpus, table, frame)
        if n
    )


def corpus_of(
    frame: pd.DataFrame,
    test: pd.DataFrame | None = None,
    *,
    name: str = "own",
    key: int = 0,
    train_on_all: bool = False,
    least: int = 1,
) -> TextCorpus:
    """Base, human, test and synthetic texts of a table.

    Base texts are those that a synthetic text was made from, and those of classes without synthetic
    texts; where there are none, half of the human texts that are not tested on. All other human
    texts are held back, as what synthetic ones are compared with when either is added.

    Args:
        frame: texts of humans, and of generators if there are any: tables of :func:`text_table`,
            one below the other.
        test: human texts to test on; a third of the table's, at random, if None.
        name: of the corpus.
        key: chooses test and base texts.
        train_on_all: whether all human texts that are not tested on are base texts; what synthetic
            texts are worth in human ones is then not known.
        least: fewest human texts that synthetic ones are compared with: where fewer would be held
            back for it, none is.

    Raises:
        ValueError: the rules of :func:`validate_texts`, too few human texts, a test text of a
            class that the table lacks, a class without test texts, or one whose human texts are
            all tested on.
    """
    from opal.draws import as_key, named, on_host

    frame, test = _of_texts(frame), None if test is None else _of_texts(test)
    tables = [each for each in (frame, test) if each is not None and ATTRIBUTE in each]
    _require_one_spelling(ATTRIBUTE, *tables)
    human = frame[frame["source"] == HUMAN]
    rest = frame[frame["source"] != HUMAN]
    rng = on_host(named(as_key(key), "own texts"))
    notes = []
    if test is None:
        chosen = _share(one_spelling(human)[0], _TESTED, rng)
        test, human = human[chosen], human[~chosen]
        notes.append(
            f"{len(test)} of the human texts, a third of each class, are tested on and never "
            "trained on: name a file of others to test on, and these are trained on"
        )
    _require_apart(human, test)
    is_base = np.ones(len(human), dtype=bool)
    if not train_on_all:
        seeds = {seed for made in rest["seeds"] for seed in made}
        is_base, said = _base(human, seeds, rng, least)
        notes += said
    parts = (human[is_base], human[~is_base], test)
    base, more, test = (each.reset_index(drop=True) for each in parts)
    _require(base, test, rest)
    synthetic = {str(name): each.reset_index(drop=True) for name, each in rest.groupby("source")}
    labels = labels_of(base, more, test, *synthetic.values())
    found = TextCorpus(name, labels, base, more, test, synthetic)
    return replace(found, notes=(*notes, *_notes(found)))


def training_corpus(frame: pd.DataFrame, *, name: str = "own") -> TextCorpus:
    """A corpus of which all human texts are trained on, and none is tested on.

    Args:
        frame: texts of humans, and of generators if there are any, as for :func:`corpus_of`.
        name: of the corpus.

    Raises:
        ValueError: the rules of :func:`validate_texts`, a class with fewer than two different human
            texts, or a synthetic text of a class that people lack.
    """
    frame = _of_texts(frame)
    is_human = frame["source"] == HUMAN
    base, rest = (part.reset_index(drop=True) for part in (frame[is_human], frame[~is_human]))
    _require(base, base[:0], rest)
    synthetic = {str(each): part.reset_index(drop=True) for each, part in rest.groupby("source")}
    return TextCorpus(name, labels_of(base), base, base[:0], base[:0], synthetic)


def _of_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """A table that follows the rules; an attribute that some of its texts lack is none."""
    if ATTRIBUTE in frame and frame[ATTRIBUTE].isna().any():
        frame = frame.drop(columns=ATTRIBUTE)
    return validate_texts(frame)


def _notes(corpus: TextCorpus) -> Iterator[str]:
    """What is said of texts whose seeds are not known, and of what is repeated."""
    told = faults(corpus)
    if any(" of test" in each or " in test" in each for each in told):
        yield "what equals a test text, or was made from one, is not trained on"
    for name, each in corpus.synthetic.items():
        if not any(each["seeds"]):
            yield (
                f"{name}: of no text is it known what it was made from, so that nothing can be "
                "held out with it: name the column that says it (--seed-column)"
            )
    for (one, first), (other, second) in combinations(corpus.synthetic.items(), 2):
        if n := int(second["id"].isin(first["id"]).sum()):
            yield f"{other}: {n} of {len(second)} equal a text of {one}"
    yield from told


def _without(frame: pd.DataFrame, held_out: frozenset[str]) -> pd.DataFrame:
    return frame[~leaks(frame, held_out)].reset_index(drop=True)


def _found(corpus: TextCorpus, table: str, frame: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """How many rows of a table have each of the faults that are looked for."""
    ids = frame["id"]
    n_labels = frame.groupby("id")["label"].transform("nunique")
    yield int(ids.duplicated().sum()), "repeat an earlier text"
    yield int((n_labels > 1).sum()), "occur with another label too"
    exact, said = frame["text"].map(canonical), frame["text"].map(folded)
    for other in _COMPARED.get(table, ("base", "human", "test")):
        there = getattr(corpus, other)["text"]
        equal, alike = exact.isin(set(there.map(canonical))), said.isin(set(there.map(folded)))
        yield int(equal.sum()), f"equal a text of {other}"
        yield int((alike & ~equal).sum()), f"equal one of {other} but for case, marks and spelling"
    if table not in corpus.synthetic:
        return
    seed = frame["seeds"].str[0].where(frame["seeds"].str.len() > 0)
    told = seed.notna()
    n_seeds = seed.groupby(ids).transform("nunique")
    yield int((n_seeds > 1).sum()), "were made from several seeds, word for word the same"
    yield int((told & ~seed.isin(corpus.base["id"])).sum()), "have a seed that is not in base"
    yield int(seed.isin(corpus.test["id"]).sum()), "have a seed that is in test"
    label = corpus.base.drop_duplicates("id").set_index("id")["label"]
    strange = seed.isin(label.index) & (seed.map(label) != frame["label"])
    yield int(strange.sum()), "have a seed of another class"


def _share(frame: pd.DataFrame, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of each class's different texts, with all their repetitions [n]."""
    chosen: set[str] = set()
    for _, ids in frame.drop_duplicates("id").groupby("label")["id"]:
        chosen.update(rng.permutation(ids.to_numpy())[: round(share * len(ids))])
    return frame["id"].isin(chosen).to_numpy()


def _base(
    human: pd.DataFrame, seeds: Collection[str], rng: np.random.Generator, least: int
) -> tuple[np.ndarray, list[str]]:
    """Which human texts are base texts [n], and what is said of the others if there are any."""
    is_base = human["id"].isin(seeds).to_numpy()
    if is_base.any():
        is_base = is_base | ~human["label"].isin(human["label"][is_base]).to_numpy()
        why = "no synthetic text was made from them"
    else:
        is_base = _share(one_spelling(human)[0], 0.5, rng)
        why = "no text is known to be made from a human one, and half of each class are kept"
    n, n_others = len(human), int((~is_base).sum())
    if n_others == 0:
        return is_base, []
    if n_others < least:
        said = (
            f"all {n} human texts are trained on: the {n_others} that could be held back to "
            f"compare synthetic texts with are fewer than the least size, {least}"
        )
        return np.ones(n, dtype=bool), [said]
    counts = human["label"][~is_base].value_counts().sort_index()
    each = ", ".join(f"{count} of {spelling.shown(label)}" for label, count in counts.items())
    said = (
        f"{n_others} of {n} human texts ({each}) are held back: {why}. All rules train on the "
        f"other {n - n_others}; those held back are added only where human texts are compared "
        "with synthetic ones. To train on them too, at the price of that comparison: "
        "--train-on-all (in Python train_on_all=True)"
    )
    return is_base, [said]


def _require_apart(human: pd.DataFrame, test: pd.DataFrame) -> None:
    """Some text of every class must be left to train on once those that are tested on are not."""
    human, test = one_spelling(human, test)
    left = human["label"][~human["id"].isin(test["id"])]
    classes = set(left)
    gone = [label for label in labels_of(human) if label not in classes]
    if gone:
        n = int(human["label"].isin(gone).sum())
        which = "all" if len(left) == 0 else f"those of {', '.join(map(spelling.shown, gone[:5]))}"
        raise ValueError(
            "test texts must be others than the texts to train on, and are the same: "
            f"{which} ({n} of {len(human)} human texts) are among the test texts. Name a file of "
            "other texts to test on, or none: a third of the human texts is then tested on."
        )


def _require(base: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame) -> None:
    """Every class that is tested or written needs base texts to be trained on, and be folded."""
    known = labels_of(base)
    labels_of(base, test, made)
    for what, frame in (("test", test), ("synthetic", made)):
        if strange := [label for label in labels_of(frame) if label not in known]:
            n, more = int(frame["label"].isin(strange).sum()), len(strange) - 5
            raise ValueError(
                f"every class needs texts to train on; {n} of {len(frame)} {what} texts have "
                f"labels that training lacks: {', '.join(map(spelling.shown, strange[:5]))}"
                f"{f' and {more} more' if more > 0 else ''}. It has: "
                f"{', '.join(map(spelling.shown, known[:10]))}. Write the labels alike, give human "
                "texts of these classes, or leave them out."
            )
    tested = set(test["label"])
    lacking = [label for label in known if label not in tested]
    if len(test) and lacking:
        raise ValueError(
            f"every class needs texts to test on; of {len(test)} none is of "
            f"{', '.join(map(spelling.shown, lacking[:5]))}. Add some, or leave the class out."
        )
    counts = base.drop_duplicates("id")["label"].value_counts()
    for label in labels_of(base, test):
        if counts.get(label, 0) < 2:
            raise ValueError(
                f"every class needs two different human texts to train on; {label!r} has "
                f"{counts.get(label, 0)}. Give more human texts of it, or leave it out."
            )


def _named(labels: Sequence[object]) -> list[object]:
    return [spelling.name(each) if isinstance(each, str) else each for each in labels]


def _require_one_spelling(name: str, *frames: pd.DataFrame) -> None:
    """Refuse labels that look alike: what people mean by them is one class."""
    counts = pd.concat([frame[name] for frame in frames]).value_counts() if frames else {}
    for several in spelling.alike(map(str, sorted(counts.keys()))):
        said = " and ".join(f"{spelling.shown(each)} ({counts[each]} ×)" for each in several)
        raise ValueError(
            f"each {name} must have one spelling; there are {said}, which look alike. Write them "
            "as one, or rename one of them if they are two."
        )


def require_strings(frame: pd.DataFrame, name: str, remedy: str) -> None:
    """Check that no cell of a column is empty, or no string.

    Raises:
        ValueError: some are; says in which rows, and the ``remedy``.
    """
    values = frame[name]
    wrong = np.array([not isinstance(value, str) or _is_empty(value) for value in values], bool)
    if wrong.any():
        got = values.to_numpy()[wrong][0]
        raise ValueError(
            f"{name} must be a string that is not empty; got {got!r} in {_places(wrong)}: {remedy}."
        )


def _is_empty(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return not text.strip() or (len(text) < _SEEN_ANYWAY and not spelling.plain(text))


def _places(wrong: np.ndarray) -> str:
    """``data row 3`` or ``data rows 3, 5, 9 and 12 more``, counted from 1."""
    rows = np.flatnonzero(wrong) + 1
    shown = ", ".join(str(row) for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"data row{'s' if len(rows) > 1 else ''} {shown}{more}"
