"""A dozen short texts of two classes, which a rule tells apart."""

from __future__ import annotations

import numpy as np

TEXTS = [
    *(f"the {x} is lovely and warm" for x in ("tea", "sun", "bread", "bath", "cat", "coat")),
    *(f"this {x} is awful, cold and grey" for x in ("rain", "soup", "wind", "room", "sea", "war")),
]
Y = np.repeat([0, 1], 6)
EVEN = np.full(12, 1 / 12)
