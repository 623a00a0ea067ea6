"""True laws: small immutable objects that are their equations."""

from opal.settings.bias import Bias
from opal.settings.craft import Craft
from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.settings.gaussian_mixture import GaussianMixture
from opal.settings.grammar import Grammar
from opal.settings.groups import Group, Sample
from opal.settings.spurious import SpuriousCorrelation
from opal.settings.tokens import Alphabet, Prior, TokenSetting
from opal.settings.wording import Slot, Wording

__all__ = [
    "Alphabet",
    "Bias",
    "Craft",
    "FiniteLaw",
    "GaussianLaw",
    "GaussianMixture",
    "Grammar",
    "Group",
    "Prior",
    "Sample",
    "Slot",
    "SpuriousCorrelation",
    "TokenSetting",
    "Wording",
]
