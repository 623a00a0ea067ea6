"""How synthetic samples are made."""

from opal.settings.bias import Bias
from opal.settings.law import Law
from opal.synthesis.density import GaussianFit
from opal.synthesis.generations import Generations
from opal.synthesis.oracle import Oracle
from opal.synthesis.resample import Duplication
from opal.synthesis.smote import Adasyn, Smote
from opal.synthesis.synthesizer import PopulationLaw, Synthesizer
from opal.synthesis.token_counts import TokenCounts
from opal.synthesis.writer import Writer

__all__ = [
    "Adasyn",
    "Bias",
    "Duplication",
    "GaussianFit",
    "Generations",
    "Law",
    "Oracle",
    "PopulationLaw",
    "Smote",
    "Synthesizer",
    "TokenCounts",
    "Writer",
]
