"""What ``opal text impute`` was asked to try: texts, learner and trial, from its flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from opal.bridge.text.commands.impute import Impute
    from opal.bridge.text.corpora import TextCorpus
    from opal.bridge.text.impute.imputation import Task
    from opal.bridge.text.impute.imputing import Trial
    from opal.bridge.text.impute.learners import Learner

USUAL = (50, 75)
"""Numbers of originals that the paper's claims are about."""


def check(flags: Impute) -> None:
    """Refuse flags that exclude one another, or that would be ignored.

    Raises:
        ValueError: names them.
    """
    from opal.bridge.text.impute.neighbours import GROWN

    if flags.file is not None and flags.corpus is not None:
        raise ValueError("a file and --corpus exclude one another; name one.")
    asks = [name for name in ("model", "local", "base_url") if getattr(flags, name) is not None]
    of_file = [name for name in ("synthetic", "fixed_seeds") if getattr(flags, name)]
    if flags.file is None and asks + of_file:
        raise ValueError(
            f"--{(asks + of_file)[0].replace('_', '-')} needs a file of texts; a corpus has "
            "synthetic texts of its own. Name the file."
        )
    if flags.file is not None and flags.masked_model == GROWN:
        raise ValueError(
            f"--masked-model {GROWN} grows on texts of a corpus that are not tried; a file has "
            "none. Name the folder of a model."
        )
    if flags.synthetic is not None and asks:
        raise ValueError(f"--synthetic and --{asks[0]} exclude one another; name one.")
    if flags.fixed_seeds and not asks:
        raise ValueError("--fixed-seeds asks a model; name one with --model or --local.")
    if flags.encoder is not None and flags.classifier is not None:
        raise ValueError("--encoder and --classifier exclude one another; name one.")
    if asks:
        flags.settings()
        flags.allowed()


def is_grammar(flags: Impute) -> bool:
    """Whether the texts are the grammar's."""
    return flags.file is None and flags.corpus in (None, "grammar")


def learner(flags: Impute) -> Learner:
    """What is trained.

    Raises:
        ImportError: the extra ``text`` is missing and needed.
        UnknownNameError: there is no such encoder or classifier.
    """
    from opal import checks, names
    from opal.bridge.text import encoders
    from opal.bridge.text.classifiers import Tuned
    from opal.bridge.text.impute import learners
    from opal.bridge.text.training import finetune

    if flags.masked_model is not None or flags.classifier is not None:
        checks.require_installed("text", "torch", "transformers")
    if flags.classifier is not None:
        names.check("classifier", [flags.classifier], finetune.PRESETS)
        return learners.trained(Tuned(finetune.PRESETS[flags.classifier]))
    usual = "tfidf" if is_grammar(flags) else encoders.MINILM
    return learners.linear(encoders.encoder(flags.encoder or usual))


def task(flags: Impute) -> tuple[Task, TextCorpus | None]:
    """Texts of the class and of the others, without what is yet to be written, and their corpus.

    Raises:
        ValueError: file or flags break a rule.
    """
    from opal.bridge.text import corpora
    from opal.bridge.text.impute import tasks

    if flags.file is None:
        corpus = corpora.load(flags.corpus or corpora.DEFAULT, key=flags.seed)
        n_others = flags.fill_to if flags.others is None else flags.others
        category = flags.category or _smallest(corpus.base, USUAL[0])
        return tasks.of_corpus(corpus, category, n_others=n_others), corpus
    frame = _read(flags)
    category = flags.category or _smallest(frame)
    name = f"{flags.file.stem}/{category}"
    found = tasks.of_frame(frame, category, name=name, n_others=flags.others)
    if found.synthetic or not flags.n_original:
        return found, None
    # A model is shown the originals at hand: they are the same in all repeats.
    if len(flags.n_original) > 1:
        raise ValueError(
            "texts are asked for from one set of originals; name one --n-original, got "
            f"{' '.join(map(str, flags.n_original))}."
        )
    found.check(flags.n_original, flags.fill_to, flags.folds)
    return tasks.reduced(found, flags.n_original[0], seed=flags.seed), None


def trial(flags: Impute, found: Task) -> Trial:
    """How the task is tried."""
    from opal.bridge.text.impute import filling, imputing

    have = len(found.originals)
    usual = (have,) if flags.file is not None else (*USUAL, have)
    fitting = tuple(n for n in usual if n <= have and n < flags.fill_to) or (have,)
    return imputing.Trial(
        tuple(sorted(set(flags.n_original or fitting))),
        flags.fill_to,
        flags.folds,
        flags.repeats,
        flags.arms or filling.ARMS,
        flags.seed,
    )


def _read(flags: Impute) -> pd.DataFrame:
    """The file's texts, and those of --synthetic."""
    import pandas as pd

    from opal.bridge.text import reading

    columns = reading.Columns(text=flags.text_column, label=flags.label_column)
    frame = reading.read(flags.file or "", columns, least=reading.LEAST)
    if flags.drop_duplicates:
        frame = frame[~frame["id"].duplicated() | (frame["seeds"].str.len() > 0)]
    if flags.synthetic is None:
        return frame
    made = reading.read(
        flags.synthetic,
        reading.Columns(seed=flags.seed_column),
        source=flags.synthetic.stem,
        n_classes=1,
    )
    return pd.concat([frame, made[made["seeds"].str.len() > 0]], ignore_index=True)


def _smallest(frame: pd.DataFrame, least: int = 0) -> str:
    """The class with the fewest texts, and with no fewer than asked for if there is one."""
    counts = frame.drop_duplicates("id")["label"].value_counts().sort_index()
    enough = counts[counts >= least]
    return str((enough if len(enough) else counts).idxmin())
