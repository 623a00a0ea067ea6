"""The scaling laws that have a name.

The equations take parameters as an array and the variables as columns. ``*_columns`` is the basis
that the linear parameters multiply; the others return ``(f [rows], ∂f/∂params [rows, p])``.
"""

from __future__ import annotations

from collections.abc import Mapping

from opal import names
from opal.scaling.laws.joined import GENERATOR, MIXTURE
from opal.scaling.laws.one_size import BROKEN, EXPONENTIAL, POWER, POWER_NO_FLOOR, SHIFTED
from opal.scaling.laws.two_sizes import ADDITIVE, REPEATED
from opal.scaling.scaling_law import ScalingLaw

LAWS: Mapping[str, ScalingLaw] = {
    law.name: law
    for law in (
        *(POWER, ADDITIVE, MIXTURE, GENERATOR),
        *(POWER_NO_FLOOR, SHIFTED, EXPONENTIAL, BROKEN, REPEATED),
    )
}


def get(name: str) -> ScalingLaw:
    """The law of that name.

    Raises:
        ValueError: there is none; says what there is, and the nearest match.

    >>> get("power").params
    ('E', 'A', 'a')
    """
    names.check("law", [name], LAWS)
    return LAWS[name]
