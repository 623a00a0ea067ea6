"""What synthetic rows are worth for your classifiers, over data sets, tasks and classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal import names, progress, records
from opal.bridge import render
from opal.bridge.tabular import report, sound
from opal.bridge.tabular.classifiers import CLASSIFIERS, SoundSettings, require_packages
from opal.bridge.tabular.datasets import Dataset
from opal.files import writable_folder, write_atomically, write_text

if TYPE_CHECKING:
    import matplotlib.figure

_SHOWN = ("dataset", "task", "classifier", "arm", "synthesizer", "n_oversampled", "metric")
_DEFAULT = SoundSettings()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A sound evaluation.

    Attributes:
        frame: its records, as :mod:`opal.records` describes them.
        left_out: for each data set and task the arms that its tables do not allow, and why.
        settings: that it was made with.
    """

    frame: pd.DataFrame
    left_out: Mapping[str, Mapping[str, str]]
    settings: SoundSettings

    def table(self) -> pd.DataFrame:
        """Each metric of each arm, and its difference to weighting, with 95 % intervals."""
        rows = self.frame[self.frame["replicate"].isna()]
        return rows[[*_SHOWN, "value", "std_error", "lower", "upper"]].reset_index(drop=True)

    def plot(self) -> matplotlib.figure.Figure:
        """Differences to weighting: balanced and worst-group error of every data set and task."""
        from opal.bridge.tabular import picture

        return picture.difference_figure(self.frame)

    def to_html(self) -> str:
        """The report as one page that needs nothing else."""
        png = BytesIO()
        self.plot().savefig(png, format="png", dpi=200)
        return render.html(report.TITLE, list(self._page(png.getvalue())))

    def write(self, out: Path) -> dict[str, Any]:
        """Write page, figure and records into a folder, each whole or absent.

        Returns:
            The JSON-able result: evaluations, arms left out with reasons, and the paths.
        """
        paths = {kind: out / f"tabular.{kind}" for kind in ("png", "pdf", "md", "parquet")}
        figure = self.plot()
        for kind in ("png", "pdf"):
            metadata = {"CreationDate": None} if kind == "pdf" else None
            save = partial(figure.savefig, format=kind, dpi=200, metadata=metadata)
            write_atomically(paths[kind], save)
        write_text(paths["md"], render.markdown(report.TITLE, list(self._page())))
        records.write(self.frame, paths["parquet"], metadata={"config": asdict(self.settings)})
        return {
            "protocol": "sound",
            "evaluations": report.evaluations(self.frame),
            "left_out": {setting: dict(reasons) for setting, reasons in self.left_out.items()},
            "written": {kind: str(path) for kind, path in paths.items()},
        }

    def _page(self, png: bytes = b"") -> Sequence[render.Block]:
        figure = render.Figure(png, "tabular.png", "differences")
        done = report.evaluations(self.frame)
        return list(report.page(done, self.left_out, self.settings, figure))


def evaluate(
    datasets: Dataset | Sequence[Dataset],
    *,
    tasks: Sequence[str] = (),
    classifiers: Sequence[str] = CLASSIFIERS,
    settings: SoundSettings = _DEFAULT,
    out: Path | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Train with and without synthetic rows, and measure the error of every arm.

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
    left_out = {f"{d.name}/{task}": sound.left_out(d, task) for d, task in pairs}
    if out is not None:
        writable_folder(out)
    units = [(*pair, name) for pair in pairs for name in classifiers]
    tracked = progress.track(units, "evaluating", quiet=quiet)
    frames = [sound.evaluate(*unit, settings) for unit in tracked]
    return Evaluation(pd.concat(frames, ignore_index=True), left_out, settings)
