"""True laws: small immutable objects that are their equations."""

from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.settings.gaussian_mixture import GaussianMixture
from opal.settings.groups import Group, Sample
from opal.settings.spurious import SpuriousCorrelation
from opal.settings.tokens import Alphabet, Prior, TokenSetting

__all__ = [
    "Alphabet",
    "FiniteLaw",
    "GaussianLaw",
    "GaussianMixture",
    "Group",
    "Prior",
    "Sample",
    "SpuriousCorrelation",
    "TokenSetting",
]
