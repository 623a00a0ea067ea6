"""What commands print with ``--json``: which command a result is of, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from opal.bridge import render
from opal.bridge.render import Block, Heading, Items, Paragraph, Table
from opal.cli import fit_report, law_comparison, plan_report

Result = Mapping[str, Any]

# Where a command has written what, on the machine of whoever ran it.
_PLACES = ("records", "figure", "page")
_VERDICT = "Verdict"
_SENTENCES = 3


@dataclass(frozen=True)
class ResultKind:
    """A command's result, told by its fields.

    Attributes:
        command: that prints it.
        fields: that it has, each with the type of what it holds.
        blocks: how it is shown.
        verdicts: what it comes to; what stands under a heading "Verdict" if nobody says.
        warnings: what to beware of.
    """

    command: str
    fields: Mapping[str, type | tuple[type, ...]]
    blocks: Callable[[Result], Iterable[Block]]
    verdicts: Callable[[Result], Iterable[str]] | None = None
    warnings: Callable[[Result], Iterable[str]] | None = None


@dataclass(frozen=True)
class ReadResult:
    """A result that was read: command, blocks, and what stands on top of a page."""

    command: str
    blocks: Sequence[Block]
    verdicts: Sequence[str]
    warnings: Sequence[str]


def has_fields(content: Any, **fields: type | tuple[type, ...]) -> bool:
    """Whether JSON is an object with these fields, each holding what is of its type."""
    return isinstance(content, dict) and all(
        isinstance(content.get(name), kind) for name, kind in fields.items()
    )


def read(content: Any) -> ReadResult | None:
    """A command's result; None if JSON is that of no command.

    Raises:
        ValueError: it has the fields of a command, and something else in them.
    """
    kind = next((kind for kind in _kinds() if has_fields(content, **kind.fields)), None)
    if kind is None:
        return None
    here = {name: value for name, value in content.items() if name not in _PLACES}
    try:
        blocks = list(kind.blocks(here))
        verdicts = list(kind.verdicts(here) if kind.verdicts else _judged(blocks))
        warnings = list(kind.warnings(here)) if kind.warnings else []
        shown = [*blocks, Items([("", said) for said in (*verdicts, *warnings)])]
        render.html(kind.command, shown)  # as a page will: what cannot be shown is not read
        render.markdown(kind.command, shown)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"it looks like a result of `{kind.command}`, and is not a whole one "
            f"({type(error).__name__}: {error})"
        ) from error
    return ReadResult(kind.command, blocks, verdicts, warnings)


def _judged(blocks: Iterable[Block]) -> Iterator[str]:
    """What stands under headings "Verdict"."""
    inside = False
    for block in blocks:
        if isinstance(block, Heading):
            inside = block.text == _VERDICT
        elif inside and isinstance(block, Items):
            yield from (f"{strong} {rest}".strip() for strong, rest in block.entries)
        elif inside and isinstance(block, Paragraph):
            yield block.text


@cache
def _kinds() -> tuple[ResultKind, ...]:
    """Every kind; one that has all fields of another, and more, comes before it."""
    from opal.bridge.tabular import report as rows
    from opal.bridge.tabular.audit.blocks import audit as rows_audit
    from opal.bridge.tabular.finetune.report import blocks as fine_tuned
    from opal.bridge.tabular.scaling import report as scaling
    from opal.bridge.text.audit.blocks import audit as texts_audit
    from opal.bridge.text.curves.report import blocks as curves
    from opal.bridge.text.impute.report import blocks as imputation

    number, asked = (int, float), {"groups": dict, "notes": list}
    return (
        ResultKind(
            "opal fit",
            {"law": str, "equation": str, "params": dict, "predictions": list},
            fit_report.blocks,
            _fitted,
            _warned,
        ),
        ResultKind(
            "opal fit --group-by",
            {"fits": list},
            lambda found: _each(found["fits"], fit_report.blocks),
            lambda found: _grouped(found["fits"], _fitted),
            lambda found: _grouped(found["fits"], _warned),
        ),
        ResultKind(
            "opal fit --compare",
            {"compared": list, "best": str, "verdict": str},
            law_comparison.blocks,
            _foreseen,
        ),
        ResultKind(
            "opal fit --compare --group-by",
            {"comparisons": list},
            lambda found: _each(found["comparisons"], law_comparison.blocks),
            lambda found: _grouped(found["comparisons"], _foreseen),
        ),
        ResultKind(
            "opal plan",
            {"recommendation": str, "alternatives": list},
            plan_report.purchase,
            _advised,
            _warned,
        ),
        ResultKind(
            "opal plan --pilot",
            {"points": list, "pool": number, "n_seeds": int},
            plan_report.pilot,
            _piloted,
            _warned,
        ),
        ResultKind(
            "opal tabular evaluate",
            {"evaluations": list, "left_out": dict},
            lambda found: rows.summary({**found, "written": {}}),
        ),
        ResultKind(
            "opal tabular evaluate --compare",
            {"files": dict, "max_abs_difference": number},
            rows.comparison,
        ),
        ResultKind(
            "opal tabular evaluate --protocol published",
            {"files": dict, "protocol": str},
            rows.published,
        ),
        ResultKind(
            "opal tabular scaling --compare",
            {"files": list, "n_files": int},
            scaling.compared,
        ),
        ResultKind(
            "opal tabular scaling --laws",
            {"laws": list, "protocol": str},
            lambda found: scaling.laws_page(found["laws"]),
        ),
        ResultKind(
            "opal tabular scaling --protocol published",
            {"curves": list, "protocol": str},
            lambda found: scaling.published_page(found["curves"]),
        ),
        ResultKind(
            "opal text impute",
            {"arms": list, "claims": list, "fill_to": list},
            imputation,
            warnings=_notes,
        ),
        ResultKind("opal text evaluate", {"arms": list, "sources": list}, curves),
        ResultKind(
            "opal tabular scaling",
            {"arms": list, "protocol": str},
            lambda found: scaling.sound_page(found["arms"]),
            _scaled,
            _notes,
        ),
        ResultKind(
            "opal text audit",
            {"audits": dict, "written": str},
            lambda found: _without_texts(texts_audit({"audits": found["audits"]})),
            _text_findings,
        ),
        ResultKind("opal tabular audit", {"audits": dict}, rows_audit, _row_findings),
        ResultKind(
            "opal tabular audit",
            {"verdicts": dict, "copies": dict, "files": list},
            rows_audit,
            _row_findings,
        ),
        ResultKind(
            "opal tabular parse",
            {"n_rejected": int, "n_lines": int, "rejected": list},
            lambda found: rows.parsed({**found, "out": None}),
        ),
        ResultKind(
            "opal tabular generate --fine-tune",
            {"groups": dict, "generator": dict, "drawn": int},
            fine_tuned,
        ),
        ResultKind("opal … generate --dry-run", asked | {"estimate": dict}, _asked),
        ResultKind("opal … generate --batch-out", asked | {"exported": int}, _asked),
        ResultKind("opal … generate", asked | {"ledger": dict}, _asked, None, _notes),
    )


def _each(
    reports: Sequence[Result], blocks: Callable[[Result, str], Iterable[Block]]
) -> Iterator[Block]:
    for report in reports:
        yield from blocks(report, f"{report['group']}: ")


def _grouped(reports: Sequence[Result], said: Callable[[Result], Iterable[str]]) -> Iterator[str]:
    yield from (f"{each['group']}: {rest}" for each in reports for rest in said(each))


def _fitted(fit: Result) -> Iterator[str]:
    """Parameters and predictions of a fit with their intervals, in a sentence."""
    params = [f"{name} = {_interval(found)}" for name, found in fit["params"].items()]
    x, y = fit_report.columns(fit)
    points = [
        ", ".join(f"{x[name]} = {size:,.6g}" for name, size in point["x"].items())
        + f" gives {y} = {_interval(point)}"
        for point in fit["predictions"]
    ]
    shown, left = points[:_SENTENCES], len(points) - _SENTENCES
    shown += [f"and {left} more predictions"] if left > 0 else []
    level = f"in brackets {100 * fit['level']:.4g} % intervals"
    yield f"{fit['equation']}: {', '.join(params)}; {'; '.join(shown)} ({level})"


def _interval(found: Result) -> str:
    low, high = found["ci"]
    ends = ["open" if end is None else f"{end:.4g}" for end in (low, high)]
    return f"{found['estimate']:.4g} [{ends[0]}, {ends[1]}]"


def _warned(found: Result) -> Iterator[str]:
    yield from found.get("warnings", ())


def _foreseen(found: Result) -> Iterator[str]:
    yield found["verdict"]


def _advised(found: Result) -> Iterator[str]:
    yield "; ".join(plan_report.advice(found))


def _piloted(found: Result) -> Iterator[str]:
    yield f"{len(found['points'])} points to run, at a cost of {found['cost']:.6g}"


def _notes(found: Result) -> Iterator[str]:
    yield from found["notes"]


def _scaled(found: Result) -> Iterator[str]:
    """The sentence of each table and task, which is the first after its heading."""
    from opal.bridge.tabular.scaling.report import sound_page

    before = ""
    for block in sound_page(found["arms"]):
        if isinstance(block, Heading):
            before = f"{block.text}: "
        elif isinstance(block, Paragraph):
            yield before + block.text


def _row_findings(result: Result) -> Iterator[str]:
    for name, found in result.get("audits", {"": result}).items():
        yield from _findings(name or ", ".join(found["files"]), found)


def _text_findings(result: Result) -> Iterator[str]:
    for name, entry in result["audits"].items():
        for writer, found in entry["sources"].items():
            yield from _findings(f"{name}, {writer}", found)


def _findings(name: str, found: Result) -> Iterator[str]:
    """The worst finding of an audit, and how many more there are."""
    findings = found["verdicts"]["findings"]
    if not findings:
        yield f"{name}: nothing found"
        return
    first, left = findings[0], len(findings) - 1
    more = f"; and {left} more findings" if left else ""
    yield f"{name}: {first['kind']} ({first['class']}): {first['said']}{more}"


def _without_texts(blocks: Iterable[Block]) -> Iterator[Block]:
    """All but the texts themselves, which stay where the audit's own page is."""
    yield from (b for b in blocks if not (isinstance(b, Table) and b.has_quotes))


def _asked(found: Result) -> Iterable[Block]:
    from opal.bridge.llm.report import blocks

    return blocks(found, "group")
