"""The top of the command line: quick, polite, and honest about bugs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import tyro

import opal
from opal.cli import SUMMARIES, main
from opal.cli.parsing import parse

HEAVY = ("jax", "pandas", "matplotlib", "scipy", "sklearn", "pyarrow", "pooch", "torch")


def imported_by(code: str) -> set[str]:
    """Top-level modules in a fresh process that has run ``code``."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["list"], 0),
        (["run", "--help"], 0),
        (["run", "nothing"], 2),
        (["figures", "--help"], 0),
        (["data", "--help"], 0),
        (["tabular", "--help"], 0),
    ],
    ids=str,
)
def test_nothing_heavy_is_imported_to_answer(words: list[str], status: int) -> None:
    found = imported_by(
        "from opal.cli import main\n"
        "try:\n"
        f"    status = main({words!r})\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        f"assert status == {status}, status"
    )
    assert "opal" in found
    assert found.isdisjoint(HEAVY), sorted(found & set(HEAVY))


def test_studies_and_figures_import_cheaply() -> None:
    found = imported_by(
        "from opal.cli import registry\n"
        "for kind in registry.PACKAGES:\n"
        "    for name in registry.claims(kind):\n"
        "        registry.load(kind, name)"
    )
    assert {"simulations", "paper_figures"} <= found
    assert found.isdisjoint(HEAVY), sorted(found & set(HEAVY))


def test_a_heavy_import_would_be_seen() -> None:
    assert {"pandas", "numpy"} <= imported_by("import opal\nopal.records")


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_shows_every_command_and_an_example(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in SUMMARIES)
    assert "Example:\n    opal figures" in said


@dataclass(frozen=True)
class LeftOut:
    """Flags that may be left out."""

    of: tyro.conf.Positional[Path | None] = None
    size: int | None = None
    name: str | None = "some"


def test_a_flag_that_may_be_left_out_is_told_as_one_of_its_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parsed = partial(parse, LeftOut, prog="opal")
    assert parsed([]) == LeftOut()
    assert parsed(["a.csv", "--size", "3"]) == LeftOut(Path("a.csv"), 3)
    assert parsed(["--name", "None"]) == LeftOut(name=None)
    with pytest.raises(SystemExit):
        parsed(["--size", "x"])
    with pytest.raises(SystemExit):
        parsed(["--help"])
    said = capsys.readouterr().out
    assert "--size INT" in said
    assert "[PATH]" in said
    assert "{None}" not in said


def test_no_command_shows_help_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "subcommands" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"opal {opal.__version__}\n"


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figure"]) == 2
    assert "unknown command 'figure'; did you mean 'figures'?" in capsys.readouterr().err


def test_list_for_people_and_for_programs(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert "example_study" in said
    assert "Squares against their numbers." in said
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    claim = "Squares of whole numbers are not negative."
    assert {"name": "example_study", "claim": claim} in found["studies"]
    assert {"name": "example_figure", "claim": "Squares against their numbers."} in found["figures"]


@pytest.mark.parametrize("kind", ["study", "figure"])
def test_every_real_study_and_figure_states_a_claim(kind: str) -> None:
    from opal.cli import registry

    for name, claim in registry.claims(kind).items():
        assert claim.endswith("."), f"{kind} {name}: {claim!r} is not a sentence"


def test_a_bug_keeps_its_traceback(example: Path) -> None:
    module = example / "simulations" / "example_study.py"
    module.write_text(
        module.read_text().replace('"value": [config.scale', '"value": [config.scael')
    )
    with pytest.raises(AttributeError, match="scael"):
        main(["run", "example_study"])


def test_a_refusal_shows_its_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPAL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown study"):
        main(["run", "nothing"])


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m opal list --json | head -c 1 > {os.devnull}"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("word", ["--api-key", "--openai_api_key=sk-123456", "--KEY", "--password"])
def test_a_key_that_is_typed_is_not_printed(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "0123456789abcdef"
    assert main(["text", "generate", "mine.csv", "--model", "m", word, secret]) == 2
    said = capsys.readouterr()
    assert "a key stays in the environment" in said.err
    assert secret not in said.out + said.err
    assert "sk-123456" not in said.out + said.err


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--price-input", "0,15"], "a number with a decimal point; got '0,15', with a comma: "),
        (["--price-input", "0,15"], "with a comma: write 0.15."),
        (["--price-output=0,6"], "with a comma: write 0.6."),
        (["--budget", "1,000"], "write 1.000, or 1000 if it groups thousands."),
        (["--price_input", "1,000,000"], "write 1000000 if it groups thousands."),
    ],
)  # fmt: skip
def test_a_decimal_comma_is_told_in_plain_words(
    words: list[str], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "generate", "mine.csv", "--model", "m", *words]) == 2
    assert remedy in capsys.readouterr().err
