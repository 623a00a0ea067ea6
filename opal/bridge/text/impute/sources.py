"""Where the synthetic texts of a task come from: a language model, or SSMBA.

A language model is asked for enough texts of the class for cross-validation by lineage
(:func:`written`).

SSMBA (Ng, Cho & Ghassemi 2020) makes texts near a text by a masked language model, which may be
grown for it (:func:`with_neighbours`). A share of a text's tokens is corrupted: 80 % of these are
masked, 10 % replaced by a random token and 10 % kept. The model then draws all of them anew from
what it thinks likely there. The label is kept, and the text that was corrupted is the one seed of
the result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal import validation
from opal.bridge.llm.command import Asking
from opal.bridge.prompts.common import N_EXAMPLES
from opal.bridge.prompts.text import TextPrompter
from opal.bridge.text import masked_lm
from opal.bridge.text.corpus import TextCorpus, text_table
from opal.bridge.text.generation import Generated
from opal.bridge.text.impute.evaluate import Trial
from opal.bridge.text.impute.task import Task, draw
from opal.bridge.text.masked_lm import Growing, Masking, padded, tokens_of

GROWN = "grown"
"""Stands for a model's folder: it is grown on texts of the corpus that nothing else uses."""
_SPARE = 1.1
_TRIES = 10
_MOST_TOKENS = 256  # longer texts are cut


def quota(trial: Trial, n_original: int, *, fixed: bool) -> int:
    """Texts to ask for so that every fold can be filled.

    In K folds (1 − 1/K) of the fill is trained on, by texts of whose five different seeds none is
    held out, and a tenth is to spare. Texts of fixed seeds are in or out together. Folds
    of the published protocol take no heed of seeds, and what is missing will do.

    Raises:
        ValueError: fewer than five originals are trained on in a fold.
    """
    missing = trial.fill_to - n_original
    if fixed or trial.is_published:
        return missing
    kept = n_original - math.ceil(n_original / trial.n_folds)
    if kept < N_EXAMPLES:
        raise ValueError(
            f"texts are made from {N_EXAMPLES} different originals, and a fold of "
            f"{trial.n_folds} trains on {kept} of {n_original}: none could be used. Add originals, "
            "or ask for more --folds."
        )
    share = math.comb(kept, N_EXAMPLES) / math.comb(n_original, N_EXAMPLES)
    return math.ceil(_SPARE * (1 - 1 / trial.n_folds) * missing / share)


def written(
    asking: Asking,
    task: Task,
    trial: Trial,
    description: str | None,
    language: str | None = None,
) -> tuple[Task, dict[str, Any]]:
    """The task with a model's texts, and an account; without texts if none was to be asked yet.

    Its originals are shown, with a ``description`` of the class or None, and the ``language`` to
    write in (that of the originals if None); --fixed-seeds of the flags asks for a second set.

    Raises:
        ValueError: a rule of asking is broken, before anything is spent.
    """
    n, settings = len(task.originals), asking.settings()
    meant = {task.category: description} if description else None
    told: dict[str, Any] = {}
    pools: list[Mapping[str, pd.DataFrame]] = []
    # All writers are made before the first is asked: each may refuse the texts.
    own = partial(
        TextPrompter,
        task.originals,
        settings,
        key=asking.seed,
        descriptions=meant,
        language=language,
    )
    writers = {fixed: own(fixed_seeds=fixed) for fixed in sorted({False, asking.fixed_seeds})}
    for fixed, writer in writers.items():
        wanted = {task.category: quota(trial, n, fixed=fixed)}
        flags = _elsewhere(asking) if fixed else asking
        made = Generated(flags.ask(writer, wanted, {task.category: n}))
        told = told | {"fixed_seeds": made.result()} if fixed else made.result()
        if made.samples:
            made.write(flags.out)
            pools.append({made.samples[0].model: made.table()})
    if len(pools) < len(writers):
        return task, told
    return replace(task, synthetic=pools[0], fixed=pools[1] if len(pools) > 1 else {}), told


def with_neighbours(
    task: Task,
    trial: Trial,
    model: str,
    corpus: TextCorpus | None = None,
    growing: Growing | None = None,
) -> Task:
    """The task with SSMBA's texts: as many of each original as fill the class from the fewest.

    ``model`` is the folder or hub name of a masked language model, or :data:`GROWN`, which grows on
    texts of the task's ``corpus``.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: there is no such model.
        ValueError: it is no masked language model, or there is nothing to grow one on.
    """
    chosen, notes = Ssmba(model), task.notes
    if model == GROWN:
        if corpus is None:
            raise ValueError(
                "a masked language model grows on texts of a corpus that are not tried; a file has "
                "none. Name the folder of a model."
            )
        grown = masked_lm.grow(outside(corpus, task, trial), growing, seed=trial.seed)
        chosen = Ssmba.of(GROWN, grown.words, grown.model)
        notes = (*notes, grown.told())
    fewest = min(trial.n_originals)
    n_each = math.ceil((trial.fill_to - fewest) / min(fewest, len(task.originals)))
    made = chosen.augment(task.originals, n_each, seed=trial.seed)
    return replace(task, ssmba=made, notes=notes)


def outside(corpus: TextCorpus, task: Task, trial: Trial) -> list[str]:
    """Human texts of a corpus that are in no data set of a trial, nor among its test texts."""
    used = set(task.originals["id"]) | set(task.others["id"])
    for repeat in range(trial.n_repeats):
        drawn, _ = draw(task, trial.fill_to, key=trial.key(task.name, repeat))
        used |= set(drawn["id"])
    human = corpus.apart().human.drop_duplicates("id")
    return human.loc[~human["id"].isin(used), "text"].tolist()


@dataclass(frozen=True)
class Ssmba:
    """A masked language model, and how it is used."""

    model: str  # folder or hub name of a model that ``AutoModelForMaskedLM`` loads
    rate: float = 0.15  # share of a text's tokens that is corrupted; at least one is
    most_likely: int = 0  # tokens that a draw chooses from; 0 for all
    batch: int = 32  # texts at once
    _given: tuple[Any, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate is the share of corrupted tokens, in (0, 1]; got {self.rate}.")
        for name, least in (("most_likely", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}.")

    @classmethod
    def of(cls, name: str, words: Any, model: Any) -> Ssmba:
        """A tokenizer and a masked language model that are in memory."""
        return cls(name, _given=(words, model.eval()))

    @property
    def name(self) -> str:
        """Used as source of the texts."""
        return f"ssmba {Path(self.model).name}"

    def augment(self, frame: pd.DataFrame, n_each: int, *, seed: int = 0) -> pd.DataFrame:
        """Texts near each text of a table, ``n_each`` of each, in the order of their seeds.

        A result that is its seed, or another result of it, is drawn again, a few times: a very
        short text may have fewer neighbours than asked for. The draws of a text depend on no
        other.

        Raises:
            ImportError: the extra ``text`` is not installed.
            OSError: there is no such model.
            ValueError: the model knows no mask, n_each is below 1, or a text occurs twice.
        """
        if n_each < 1 or frame["id"].duplicated().any():
            raise ValueError(
                f"n_each must be at least 1, and each text there once; got {n_each} and "
                f"{int(frame['id'].duplicated().sum())} that repeat another."
            )
        words = self._parts()[0]
        origin = tokens_of(words, frame["text"].tolist(), _MOST_TOKENS)
        found: list[dict[tuple[int, ...], str]] = [{} for _ in origin]
        for attempt in range(_TRIES * n_each):
            missing = [i for i, made in enumerate(found) if len(made) < n_each]
            if not missing:
                break
            jobs = [(origin[i], _stream(seed, frame["id"].iloc[i], attempt)) for i in missing]
            for i, tokens in zip(missing, self._neighbours(jobs), strict=True):
                said = words.decode(list(tokens), skip_special_tokens=True).strip()
                if tokens != origin[i] and said and tokens not in found[i]:
                    found[i][tokens] = said
        rows = [(i, said) for i, made in enumerate(found) for said in made.values()]
        at = [i for i, _ in rows]
        return text_table(
            [said for _, said in rows],
            frame["label"].iloc[at].tolist(),
            source=self.name,
            seeds=[(each,) for each in frame["id"].iloc[at]],
        )

    def _neighbours(
        self, jobs: Sequence[tuple[tuple[int, ...], np.random.Generator]]
    ) -> Iterator[tuple[int, ...]]:
        """Each sequence of tokens corrupted, and mended place by place, by draws of its own."""
        import torch

        words, model = self._parts()
        masking = Masking(words, self.rate)
        torch.set_num_threads(1)
        for start in range(0, len(jobs), self.batch):
            part = jobs[start : start + self.batch]
            some = [masking.corrupted(tokens, rng) for tokens, rng in part]
            with torch.inference_mode():
                logits = model(**padded(words, some)).logits.double()
                logits[:, :, words.all_special_ids] = -torch.inf
            for row, each, (_, rng) in zip(logits, some, part, strict=True):
                likely = torch.softmax(row[each.at], dim=1).numpy()
                uniforms = rng.random(len(each.at))
                tokens = each.tokens.copy()
                tokens[each.at] = [
                    _draw(p, u, self.most_likely) for p, u in zip(likely, uniforms, strict=True)
                ]
                yield tuple(tokens.tolist())

    def _parts(self) -> tuple[Any, Any]:
        return self._given or _load(self.model)


def _elsewhere(asking: Asking) -> Asking:
    """The flags with files of their own for the texts of fixed seeds."""
    beside = asking.out.with_stem(f"{asking.out.stem}-fixed-seeds")
    batch = asking.batch_out and asking.batch_out.with_stem(f"{asking.batch_out.stem}-fixed-seeds")
    return replace(asking, out=beside, batch_out=batch)


def _draw(p: np.ndarray, u: float, most_likely: int) -> int:
    """A token by inversion, tokens in order of their probability."""
    order = np.argsort(-p, kind="stable")[: most_likely or None]
    reach = np.cumsum(p[order])
    return int(order[min(np.searchsorted(reach, u * reach[-1], side="right"), len(order) - 1)])


def _stream(seed: int, id_: str, attempt: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed} {id_} {attempt}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


@cache
def _load(path: str) -> tuple[Any, Any]:
    validation.require_installed("text", "transformers", "torch")
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(path)
    if words.mask_token_id is None:
        raise ValueError(
            f"SSMBA needs a masked language model; the tokenizer of {path} has no mask token. Name "
            "one such as FacebookAI/roberta-base."
        )
    model, found = AutoModelForMaskedLM.from_pretrained(path, output_loading_info=True)
    if untrained := sorted(each for each in found["missing_keys"] if each.endswith("weight")):
        raise ValueError(
            f"SSMBA needs a masked language model; {path} has no trained {untrained[0]} and would "
            "draw noise. Name one such as FacebookAI/roberta-base."
        )
    return words, model.eval()
