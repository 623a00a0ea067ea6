"""Weighted linear rules, mapped over replicates."""

from opal.estimators.logistic import LogisticFit, fit_logistic
from opal.estimators.ridge import fit_ridge
from opal.estimators.threshold import move_to_balance

__all__ = ["LogisticFit", "fit_logistic", "fit_ridge", "move_to_balance"]
