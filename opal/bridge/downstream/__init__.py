r"""Regressions on labels of a classifier, corrected by human labels of some of the rows.

A classifier labels all N rows of a corpus, people label n of them, drawn at random. The
coefficients solve the mean of scores ``m(θ; label)``, of a linear or logistic regression in which
the label is the outcome or one of the covariates:

.. math::
    \frac1N Σ_i \Big[ λ\,m(θ; \hat y_i) + \frac{R_i}{π_i}\big( m(θ; y_i) - λ\,m(θ; \hat y_i) \big)
    \Big] = 0 ,

R_i saying whether people labelled row i, and π_i how probable that was. Whatever the classifier
says, the mean is that of ``m(θ; y)``. With λ = 0 only human labels count; λ = 1 is design-based
supervised learning (arXiv 2306.04746), and the λ of a coefficient's least variance is PPI++ (arXiv
2311.01453), whose own λ is this one times (N − n)/N. docs/infer.md has the rest.
"""

from opal.bridge.downstream.columns import other_labels, regression_of
from opal.bridge.downstream.equations import DESIGN, HUMAN, NAIVE, POWERED
from opal.bridge.downstream.inference import agreement, infer
from opal.bridge.downstream.label_regression import LABEL, Model, Regression

__all__ = [
    "DESIGN",
    "HUMAN",
    "LABEL",
    "NAIVE",
    "POWERED",
    "Model",
    "Regression",
    "agreement",
    "infer",
    "other_labels",
    "regression_of",
]
