"""How Sphinx makes the site of this folder: `make docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

import plotly

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "OPAL"
author = "The OPAL developers"
copyright = "The OPAL developers"  # noqa: A001 - the name that Sphinx reads
version = release = installed("opal-scaling")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx-mathjax-offline",
    "gallery",
    "docstrings",
    "guides",
    "notebooks",
]
exclude_patterns = ["README.md", "img"]
templates_path = ["_templates"]
default_role = "code"

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "off"  # notebooks come executed: `make notebooks`
suppress_warnings = ["mystnb.unknown_mime_type"]

autosummary_generate = True
autosummary_ignore_module_all = True
viewcode_follow_imported_members = False  # a name is documented where it is defined
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "ignore-module-all": True,  # a package lists what its modules define, which is documented there
    # Scikit-learn's, whose docstrings refer to its own site.
    "exclude-members": "get_metadata_routing,set_fit_request,set_predict_request,set_score_request",
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # shapes are in the docstrings

html_theme = "pydata_sphinx_theme"
html_title = "OPAL"
# Plotly's script is in its wheel: nothing is fetched when a page is read.
html_static_path = ["_static", str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js")]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_css_files = ["opal.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"index": [], "explorer": [], "changelog": []}
