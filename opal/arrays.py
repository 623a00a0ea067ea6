"""The two kinds of array that opal's laws may hold."""

from __future__ import annotations

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
