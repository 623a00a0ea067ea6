"""A page for each figure that `opal figures` has drawn: picture, caption, checks and command."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from sphinx.application import Sphinx

from opal.cli import registry

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"
FOLDER = ROOT / "docs" / "gallery"

_INDEX = """\
# Gallery

Every figure of `opal figures`, as it was drawn when this site was built: its caption, its self-checks
and the command that draws it. A check that fails is shown as one.
{% if not figures %}
```{note}
No figure had been drawn when this site was built; `make figures` draws them all.
```
{% else %}
::::{grid} 1 2 3 3
:gutter: 3
{% for figure in figures %}
:::{grid-item-card} {{ figure.name }}
:link: {{ figure.name }}
:link-type: doc
:img-top: {{ figure.name }}.png
{{ figure.claim }}
:::
{% endfor %}
::::

```{toctree}
:hidden:
{% for figure in figures %}
{{ figure.name }}
{%- endfor %}
```
{% endif %}
"""

_PAGE = """\
# {{ name }}

{{ claim }}

```{image} {{ name }}.png
:alt: {{ claim }}
:class: figure
```

{{ caption }}

```sh
{{ command }}
```

## Checks

| check | statistic | threshold | verdict | |
|---|---|---|---|---|
{%- for check in checks %}
| {{ check.name }} | {{ "%.3g" | format(check.statistic) }} | {{ "%.3g" | format(check.threshold) }} | {{ "holds" if check.passed else "**fails**" }} | {{ check.detail }} |
{%- endfor %}

## Made by

{% for study, config in config.items() -%}
`opal run {{ study }}`{{ ", " if not loop.last }}
{%- endfor %} in {{ "%.0f" | format(wall_time_s) }} s, with {{ versions.items() | map("join", " ") | join(", ") }}.
For print: {download}`{{ name }}.pdf`.

:::{dropdown} Configuration
```json
{{ config | tojson(indent=1) }}
```
:::

:::{dropdown} Code
```{literalinclude} ../../paper_figures/{{ name }}.py
:language: python
```
:::
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("gallery_figures", str(FIGURES), "env")
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def _write(app: Sphinx) -> None:
    write(ROOT / app.config.gallery_figures, FOLDER)


def write(figures: Path, folder: Path) -> None:
    """Write the pages of the figures that a folder holds, and their index.

    Args:
        figures: what `opal figures` wrote, at a preset.
        folder: of the pages, made anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    claims = registry.claims("figure")
    drawn = [figures / f"{name}.json" for name in claims if (figures / f"{name}.json").is_file()]
    pages = [_page(json.loads(path.read_text(encoding="utf-8")), claims) for path in drawn]
    templates = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    for page in pages:
        name = page["name"]
        for kind in ("png", "pdf"):
            shutil.copyfile(figures / f"{name}.{kind}", folder / f"{name}.{kind}")
        text = templates.from_string(_PAGE).render(page)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    index = templates.from_string(_INDEX).render(figures=pages)
    (folder / "index.md").write_text(index, encoding="utf-8")


def _page(told: dict[str, Any], claims: dict[str, str]) -> dict[str, Any]:
    name, preset = told["name"], told["preset"]
    command = shlex.join(["opal", "figures", name, "--preset", preset])
    texts = [{**c, "detail": c["detail"].replace("|", r"\|")} for c in told["checks"]]
    return {**told, "checks": texts, "claim": claims[name], "command": command}
