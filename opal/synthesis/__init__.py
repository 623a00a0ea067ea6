"""How synthetic samples are made."""

from opal.settings.law import Law
from opal.synthesis.density import GaussianFit
from opal.synthesis.oracle import Bias, Oracle
from opal.synthesis.resample import Duplication
from opal.synthesis.smote import Adasyn, Smote
from opal.synthesis.synthesizer import PopulationLaw, Synthesizer
from opal.synthesis.table import TableOracle
from opal.synthesis.writer import Writer

__all__ = [
    "Adasyn",
    "Bias",
    "Duplication",
    "GaussianFit",
    "Law",
    "Oracle",
    "PopulationLaw",
    "Smote",
    "Synthesizer",
    "TableOracle",
    "Writer",
]
