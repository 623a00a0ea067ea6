"""Rows of the groups of a table, from a language model that is fine-tuned on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from opal import names, progress
from opal.bridge.llm.command import samples_wanted
from opal.bridge.llm.request import digest
from opal.bridge.prompts import common, transcript
from opal.bridge.prompts.table import numeric
from opal.bridge.tabular.finetune.model import fingerprint, load
from opal.bridge.tabular.finetune.report import FineTunedRows, check_paths, write
from opal.bridge.tabular.finetune.rows import RowTexts
from opal.bridge.tabular.finetune.sampling import GroupDraws, RowWriter
from opal.bridge.tabular.finetune.training import RowTuning, train
from opal.bridge.tabular.identifiers import without_identifiers
from opal.files import writable_folder

Values = tuple[tuple[int, float], ...]  # of a group, by column


def fine_tune_rows(
    table: pd.DataFrame,
    tuning: RowTuning,
    *,
    target: str | None = None,
    attributes: Sequence[str] = (),
    fill_to: int | None = None,
    per_group: int | None = None,
    table_out: Path | None = None,
    name: str = "the table",
    source: Path | None = None,
) -> FineTunedRows:
    """Fine-tune a causal language model on a table of numbers, and let it write rows of its groups.

    This is GReaT (arXiv 2210.06280): rows are texts, ``name is value, name is value``, in an order
    of the columns that is drawn anew in each epoch. A row that is to be written begins with the
    label and the attributes of its group. The model is fine-tuned on **all rows of the table**;
    their number is ``n_generator`` in the result. Compare with nothing that has seen fewer real
    rows, or say so.

    The same call goes on where one was stopped, from checkpoints and draws in ``tuning.work``, and
    gives what it would have given. The rows are written to ``tuning.out``, those that were rejected
    beside it with their reasons, and a record of all in JSON beside the rows.

    Args:
        table: training rows, numbers only. Columns that number them are left out, see
            :func:`opal.bridge.tabular.identifiers.identifiers`.
        tuning: model, training, draws and files.
        target: label column; the last one if None.
        attributes: columns that, with the label, make the groups.
        fill_to: real and made rows of a group together.
        per_group: made rows of every group, instead of ``fill_to``.
        table_out: CSV file for the rows alone.
        name: of the table, for messages and the record.
        source: file that the table was read from, which no output may replace.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: a folder for outputs or for ``tuning.work`` cannot be written, before the training.
        ValueError: the table, the numbers, the paths, the model or the device break a rule, before
            the training; what ``tuning.work`` holds cannot be read; or the model writes no rows of
            a group.
    """
    check_paths(tuning.out, table_out, source)
    found, note = without_identifiers(numeric(table), target, attributes)
    groups, counts = _groups(found, target, attributes, name)
    wanted = samples_wanted(counts, fill_to=fill_to, each=per_group, flag="--per-group")
    if not any(wanted.values()):
        raise ValueError("every group has as many rows as asked for: nothing is to be made.")
    writable_folder(tuning.out.parent)
    if table_out is not None:
        writable_folder(table_out.parent, "--table-out")
    model, tokenizer = load(tuning)
    rows = RowTexts(list(found.columns), found.to_numpy(dtype=float), tokenizer)
    most = rows.room(model, tuning.max_tokens)
    identity = _identity(rows, fingerprint(model), tuning)
    folder = writable_folder(tuning.work / identity, "--work")
    losses = _tuned(model, rows, tuning, folder / "checkpoint.pt")
    draws = folder / f"draws-{digest(tuning.temperature, most)}.jsonl"
    writer = RowWriter(model, rows, tuning, draws, most=most)
    written = _drawn(writer, groups, wanted, quiet=tuning.quiet)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(tuning).items()}
    generator = {"identity": identity, "rows": name, "n_generator": len(found), "loss": losses}
    about = {
        "groups": {g: {"originals": counts[g], "asked": n} for g, n in wanted.items()},
        "generator": generator | settings,
        "notes": note,
    }
    return write(found, written, wanted, about, tuning.out, table_out)


def _groups(
    table: pd.DataFrame, target: str | None, attributes: Sequence[str], name: str
) -> tuple[dict[str, Values], dict[str, int]]:
    """The values of each group, the label's first, and its number of rows."""
    columns = list(table.columns)
    label = target or columns[-1]
    by = [*dict.fromkeys(a for a in attributes if a != label), label]
    names.check("column", by, columns)
    if len(by) == len(columns):
        raise ValueError(
            f"a row needs a column beside those of its group; {', '.join(by)} are all there are: "
            "name fewer with --attribute."
        )
    groups, counts, different = {}, {}, {}
    for key, rows in table.groupby(by):
        group = transcript.name_of(by, key)
        values = [(columns.index(column), value) for column, value in zip(by, key, strict=True)]
        groups[group] = (values[-1], *values[:-1])
        counts[group], different[group] = len(rows), len(rows.drop_duplicates())
    if len(groups) < 2:
        raise ValueError(
            f"{name} must have at least 2 groups; it has {next(iter(groups))!r} alone: name "
            "another --target."
        )
    common.require_enough(different, common.LEAST_ROWS, "rows")
    return groups, counts


def _identity(rows: RowTexts, weights: str, tuning: RowTuning) -> str:
    """A digest of all that the fine-tuned model depends on."""
    order = range(len(rows.columns))
    texts = [rows.tokens(i, order) for i in range(len(rows.values))]
    settings = [tuning.epochs, tuning.batch, tuning.learning_rate, tuning.seed, tuning.device]
    return digest("fine-tuned", rows.columns, texts, weights, settings)


def _tuned(model: Any, rows: RowTexts, tuning: RowTuning, checkpoint: Path) -> list[float]:
    """Fine-tune behind a bar that shows the loss, and counts what is left."""
    begun: list[int] = []
    with progress.bar("fine-tuning", quiet=tuning.quiet) as bar:

        def told(step: int, n_steps: int, loss: float) -> None:
            begun[:] = begun or [step - 1]
            bar.update(step - begun[0], n_steps - begun[0], f"fine-tuning, loss {loss:.3f}")

        return train(model, rows, tuning, checkpoint, told)


def _drawn(
    writer: RowWriter, groups: Mapping[str, Values], wanted: Mapping[str, int], *, quiet: bool
) -> dict[str, GroupDraws]:
    found: dict[str, GroupDraws] = {}
    with progress.bar("writing rows", sum(wanted.values()), quiet=quiet) as bar:
        for group, n in wanted.items():
            found[group] = writer.fill(group, groups[group], n, bar.advance)
    return found
