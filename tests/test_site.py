"""The site: built without a warning, read without other hosts, and its numbers right."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pytest

import opal
from opal.settings.law import Law
from opal.synthesis.synthesizer import PopulationLaw
from opal.theory.estimator import expand, resum

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (1280, 390)
PAGES = ("index", "guides", "theory", "text", "explorer", "gallery/index", "gallery/scaling",
         "api", "api/opal.theory.predict", "notebooks/index", "changelog")  # fmt: skip
N_SETTINGS, N_PREDICTED = 200, 5


def extension(name: str) -> Any:
    """A module of docs/_ext."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_numbers_of_equations_link_to_them_and_code_to_its_home() -> None:
    text = "By (2.1) and `opal.Design`, not (9.9):\n\n```math\na = b \\tag{2.1}\n```\n"
    linked = extension("guides").linked(text)
    assert "(equation-2-1)=\n```{math}" in linked
    assert "[(2.1)](#equation-2-1) and {py:obj}`opal.Design <opal.objective.Design>`" in linked
    assert "not (9.9)" in linked


def test_what_is_code_is_not_linked() -> None:
    equation = "```math\na \\tag{2.1}\n```\n"
    text = "`(2.1)` $f(2.1)$ `opal.nothing`\n\n```sh\n(2.1)\n```\n"
    assert extension("guides").linked(equation + text).endswith(text)


def test_a_figure_without_all_of_its_files_is_an_error(tmp_path: Path) -> None:
    told = {"name": "alpha", "preset": "tiny", "checks": [], "caption": "", "config": {}}
    (tmp_path / "alpha.json").write_text(json.dumps(told))
    with pytest.raises(FileNotFoundError, match=r"alpha\.png"):
        extension("gallery").write(tmp_path, tmp_path / "pages")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with one figure, and with the notebooks that have been executed; warnings fail."""
    folder = tmp_path_factory.mktemp("site")
    figures, out = folder / "figures", folder / "html"
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    draw = ["-m", "opal", "figures", "scaling", "--preset", "tiny", "--out", str(figures)]
    subprocess.run([sys.executable, *draw], check=True, env=env, capture_output=True)
    source = folder / "source" / "docs"
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("api", "__pycache__"))
    for name in ("CHANGELOG.md", "paper_figures", "opal", "tests"):
        (source.parent / name).symlink_to(ROOT / name)
    build = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    build += ["-D", f"gallery_figures={figures}", str(source), str(out)]
    done = subprocess.run([sys.executable, *build], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fields_of_named_tuples_are_listed_and_not_counted(site: Path) -> None:
    page = (site / "api" / "opal.objective.html").read_text(encoding="utf-8")
    assert 'id="opal.objective.RowCounts.oversampled"' in page
    assert "Alias for field number" not in page


@dataclass(frozen=True)
class Served:
    """A site at an address of this machine, and a browser."""

    address: str
    browser: Browser

    def page(self, width: int, scheme: Any = "light") -> Page:
        """An empty page."""
        page = self.browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(120_000)  # a busy machine is slow, not wrong
        return page


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[Served]:
    """The site, served to a headless browser; skipped where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser on this machine, of {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=args)
        yield Served(f"http://127.0.0.1:{server.server_port}/", browser)
        browser.close()
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_their_window_and_ask_no_other_host(
    served: Served, width: int, scheme: str
) -> None:
    page = served.page(width, scheme)
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    for name in PAGES:
        page.goto(f"{served.address}{name}.html")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    assert len(asked) > len(PAGES)
    assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []
    assert errors == []
    page.close()


BROKEN = """() => [...document.querySelectorAll('article th, article td')].flatMap(cell => {
  const style = getComputedStyle(cell), pen = document.createElement('canvas').getContext('2d');
  pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const room = cell.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return cell.textContent.split(/[\\s-]+/).filter(word => pen.measureText(word).width > room + 1);
})"""


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_tables_break_no_word(served: Served, width: int) -> None:
    page = served.page(width)
    page.goto(f"{served.address}gallery/scaling.html")
    assert page.locator("article th").count() >= 5
    assert page.evaluate(BROKEN) == []
    # Control: where a word may break anywhere, narrow columns break some.
    page.add_style_tag(content="article :is(th, td) { overflow-wrap: anywhere !important }")
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.evaluate(BROKEN) != []
    page.close()


@pytest.mark.slow
def test_equations_are_set_and_their_numbers_link(served: Served) -> None:
    page = served.page(WIDTHS[0])
    page.goto(f"{served.address}theory.html")
    page.wait_for_selector("mjx-container[display=true]")
    assert page.locator("mjx-merror").count() == 0
    assert page.locator("mjx-container[display=true]").count() > 100
    targets = page.eval_on_selector_all(
        "a[href^='#equation-']", "links => links.map(a => a.getAttribute('href').slice(1))"
    )
    assert len(targets) > 100
    missing = page.evaluate("ids => ids.filter(id => !document.getElementById(id))", targets)
    assert missing == []
    page.close()


@dataclass(frozen=True)
class MovedFit:
    """A Gaussian fitted to seeds, whose second class is then moved towards the first."""

    shift: float
    name: str = "moved fit"
    min_seeds: int = 2

    def fit(self, seeds: Any, groups: Any, *, key: Any) -> Law:
        return self._moved(opal.GaussianFit().fit(seeds, groups, key=key))

    def population(self, truth: Law) -> PopulationLaw:
        found = opal.GaussianFit().population(truth)
        assert found is not None
        law = self._moved(found.law)
        return PopulationLaw(law, found.seed_use, found.shrinkage, found.min_seeds)

    def _moved(self, law: Any) -> Any:
        return law.moved(law.means + along_first(law.dim, -self.shift)[:, None], law.covariances)


def along_first(dim: int, second: float) -> np.ndarray:
    """What moves the second class along the first feature [2, d]."""
    move = np.zeros((2, dim))
    move[1, 0] = second
    return move


def settings(n: int) -> list[dict[str, Any]]:
    """Random positions of the sliders."""
    rng = np.random.default_rng(17)
    return [
        {
            "n": int(10 ** rng.uniform(2.3, 4.3)),
            "imbalance": float(10 ** rng.uniform(0, 2)),
            "shift": float(rng.uniform(0, 0.8)),
            "augmented": int(10 ** rng.uniform(1.7, 4.3)),
            "alpha": float(rng.uniform(0, 1)),
            "seeds": int(10 ** rng.uniform(1.8, 4.3)) if rng.random() < 0.6 else None,
            "dim": int(rng.choice([2, 5, 10, 20])),
            "distance": float(rng.uniform(0.5, 3)),
        }
        for _ in range(n)
    ]


def called(s: dict[str, Any]) -> tuple[opal.GaussianMixture, opal.Design]:
    """The setting and the design of a position of the sliders."""
    centre = along_first(s["dim"], s["distance"] / 2)
    centre[0, 0] = -s["distance"] / 2
    setting = opal.GaussianMixture(centre)
    counts = (s["n"], max(2, int(np.floor(s["n"] / s["imbalance"] + 0.5))))
    options: dict[str, Any] = {"n_augmented": s["augmented"], "alpha": s["alpha"]}
    if s["seeds"] is None:
        bias = opal.Bias(mean_shift=along_first(s["dim"], -s["shift"]))
        design = opal.Design(counts, opal.Oracle.biased(setting.law, bias), **options)
    else:
        design = opal.Design(counts, MovedFit(s["shift"]), n_generator=s["seeds"], **options)
    return setting, design


def resummed(setting: opal.GaussianMixture, design: opal.Design) -> float:
    """The excess of a prediction, without what else it tells."""
    with jax.enable_x64(True):
        return float(resum(setting, design, expand(setting, design)).excess)


SOLVE = """settings => settings.map(s => {
  const at = {...s, seeds: s.seeds === null ? Infinity : s.seeds};
  return OpalTheory.solve(at, OpalTheory.kinds(at)).excess;
})"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_explorer_predicts_what_opal_predicts(served: Served) -> None:
    page = served.page(WIDTHS[0])
    page.goto(f"{served.address}explorer.html")
    chosen = settings(N_SETTINGS)
    found = np.array(page.evaluate(SOLVE, chosen), float)
    expected = np.array([resummed(*called(s)) for s in chosen])
    for s, excess in zip(chosen[:N_PREDICTED], expected, strict=False):
        table = opal.predict(*called(s)).set_index(["metric", "group"])["value"]
        assert table["excess_balanced_risk", "all"] == pytest.approx(excess, rel=1e-9)
    assert np.isfinite(expected).sum() > 0.9 * N_SETTINGS
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=0.01)
    # Control: the same sliders but for a generator that is not biased are told apart.
    unbiased = np.array(page.evaluate(SOLVE, [{**s, "shift": 0.0} for s in chosen]), float)
    assert np.nanmedian(np.abs(unbiased / expected - 1)) > 0.1
    page.close()


@pytest.mark.slow
def test_sliders_redraw_and_their_state_is_in_the_address(served: Served) -> None:
    page = served.page(WIDTHS[0])
    page.goto(
        f"{served.address}explorer.html#n=500&dim=10&seeds=200&distance=2.5&shift=nonsense&alpha=7"
    )
    state = "Object.fromEntries(new URLSearchParams(location.hash.slice(1)))"
    said = page.evaluate(state)
    kept = [said[name] for name in ("n", "dim", "seeds", "distance")]
    assert kept == ["500", "10", "200", "2.5"]
    assert (said["shift"], said["alpha"]) == ("0.2", "0.5"), "what is no position is left as it was"
    before = page.get_attribute("#opal-explorer", "data-excess")
    page.evaluate(
        "() => { const i = document.querySelector('input[name=shift]'); i.value = 900;"
        " i.dispatchEvent(new Event('input')); }"
    )
    page.wait_for_function(
        f"document.getElementById('opal-explorer').dataset.excess !== '{before}'"
    )
    assert page.evaluate(state)["shift"] == "0.72"
    page.close()


@pytest.mark.slow
def test_the_line_of_weighting_is_in_the_picture_or_said_to_be_above(served: Served) -> None:
    page = served.page(WIDTHS[0])
    seen = """() => {
      const plot = document.querySelector('.opal-plot');
      const weighting = plot.data.find(trace => trace.name === 'weighting, free');
      return [weighting.y[0], plot.layout.yaxis.range[1]];
    }"""
    said = []
    for position in ("", "#n=2000&imbalance=100&shift=0&dim=2&distance=1"):
        page.goto("about:blank")
        page.goto(f"{served.address}explorer.html{position}")
        free, top = page.evaluate(seen)
        said.append("above the picture" in page.inner_text(".opal-numbers"))
        assert said[-1] == (free > top)
    assert said == [False, True]
    page.close()


@pytest.mark.slow
def test_links_of_others_and_browsers_that_refuse_do_not_stop_the_explorer(served: Served) -> None:
    page = served.page(WIDTHS[0])
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script("history.replaceState = () => { throw new DOMException('too many'); };")
    page.goto(f"{served.address}explorer.html#constructor=1&__proto__=2&alpha=&shift=%20&n=300")
    excess = "#opal-explorer[data-excess]"
    assert float(page.get_attribute(excess, "data-excess") or "nan") > 0
    shown = {n: page.inner_text(f"label:has([name={n}]) output") for n in ("n", "alpha", "shift")}
    assert shown == {"n": "300", "alpha": "0.5", "shift": "0.2"}
    page.click(".opal-simulate")
    page.wait_for_selector("#opal-explorer[data-simulated=done]", timeout=120_000)
    assert page.inner_text(".opal-progress") == "200 of 200 replicates"
    assert page.locator(".errorbar").count() == 9, "the simulated points alone have error bars"
    assert errors == []
    page.close()


@pytest.mark.slow
def test_sliders_are_not_held_up_by_a_large_replicate(served: Served) -> None:
    page = served.page(WIDTHS[0])
    page.goto(f"{served.address}explorer.html#n=20000&augmented=20000&imbalance=1&dim=20")
    page.click(".opal-simulate")
    page.wait_for_function("document.querySelector('.opal-progress').textContent !== ''")
    assert page.inner_text(".opal-progress").startswith("0 of 20"), "before the first is whole"
    assert page.get_attribute("#opal-explorer", "data-simulated") == "running"
    page.close()


@pytest.mark.slow
def test_simulated_points_agree_with_the_line(served: Served) -> None:
    page = served.page(WIDTHS[0])
    page.goto(f"{served.address}explorer.html#n=200&imbalance=5&augmented=200&dim=2&shift=0.3")
    page.click(".opal-simulate")
    page.wait_for_selector("#opal-explorer[data-simulated=done]", timeout=120_000)
    points, line = page.evaluate(
        """() => {
          const data = document.querySelector('.opal-plot').data;
          const of = name => data.find(trace => trace.name === name);
          const seen = of('simulated');
          return [seen.x.map((x, i) => [x, seen.y[i], seen.error_y.array[i] / 2]),
                  of('theory').x.map((x, i) => [x, of('theory').y[i]])];
        }"""
    )
    assert len(points) == 9
    alphas, values = np.array(line).T
    z = [(y - np.interp(x, alphas, values)) / error for x, y, error in points]
    assert np.max(np.abs(z)) < 3.5
    unweighted = [(y - values[0]) / error for _, y, error in points]
    assert np.max(np.abs(unweighted)) > 5, "the line at α = 0 is not that at other weights"
    page.close()
