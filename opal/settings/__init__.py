"""True laws: small immutable objects that are their equations."""

from opal.settings.gaussian import GaussianLaw
from opal.settings.gaussian_mixture import GaussianMixture
from opal.settings.groups import Group, Sample
from opal.settings.spurious import SpuriousCorrelation

__all__ = ["GaussianLaw", "GaussianMixture", "Group", "Sample", "SpuriousCorrelation"]
