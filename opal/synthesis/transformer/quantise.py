r"""Real numbers as tokens and back: bins that a normal variable hits equally often.

With ``z ~ N(0, 1)`` restricted to [−R, R], bin b of B holds the values ``s z`` with
``(Φ(z) − Φ(−R)) / (Φ(R) − Φ(−R))`` in (b/B, (b+1)/B]. A value outside [−sR, sR] counts as one of
the outer bin on its side. A bin is decoded by a draw of ``s z`` inside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy import stats

from opal.arrays import AnyArray
from opal.settings.groups import validate_count, validate_number


@dataclass(frozen=True)
class Quantiser:
    """Equally probable bins of a normal variable between two ends.

    Attributes:
        n_bins: bins B.
        scale: s, standard deviation of the normal variable, in units of the features.
        reach: R, where the outer bins end, in units of the scale.

    Raises:
        ValueError: fewer than two bins, a scale or reach out of range.
    """

    n_bins: int = 16
    scale: float = 1.5
    reach: float = 3.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        validate_count(self.n_bins, "n_bins", minimum=2)
        validate_number(self.scale, "scale must be a finite number of at least 1e-6", least=1e-6)
        rule = "reach must be between 0.1 and 8 standard deviations"
        validate_number(self.reach, rule, least=0.1, most=8.0)

    @property
    def limit(self) -> float:
        """Largest absolute value that is not clipped, sR."""
        return self.scale * self.reach

    def levels(self) -> np.ndarray:
        """Φ at the ends of the bins, in units of the scale [B+1]."""
        low, high = stats.norm.cdf([-self.reach, self.reach])
        return low + (high - low) * np.arange(self.n_bins + 1) / self.n_bins

    def edges(self) -> np.ndarray:
        """Ends of the bins [B+1], from −sR to sR."""
        inside = stats.norm.ppf(self.levels()[1:-1])
        return self.scale * np.concatenate([[-self.reach], inside, [self.reach]])

    def encode(self, x: Float[AnyArray, "*b"]) -> Int[Array, "*b"]:
        """The bin of each value, 0 … B−1; what is no number goes to the first."""
        values = jnp.asarray(x)[..., None]
        inner = jnp.asarray(self.edges()[1:-1], values.dtype)
        return jnp.sum(values > inner.reshape((1,) * (values.ndim - 1) + (-1,)), -1, jnp.int32)

    def decode(
        self, bins: Int[AnyArray, "*b"], uniforms: Float[AnyArray, "*b"]
    ) -> Float[Array, "*b"]:
        """A draw inside each bin, by the inverse of the normal distribution function.

        Args:
            bins: 0 … B−1.
            uniforms: in (0, 1], where in the bin's probability the draw lies.
        """
        low = jnp.asarray(self.levels()[:-1], jnp.asarray(uniforms).dtype)[jnp.asarray(bins)]
        width = (self.levels()[-1] - self.levels()[0]) / self.n_bins
        return self.scale * jax.scipy.special.ndtri(low + width * jnp.asarray(uniforms))

    def outside(self, x: Float[AnyArray, "n p"]) -> Int[Array, " p"]:
        """How many values of each coordinate lie outside [−sR, sR], and are clipped [p]."""
        return jnp.sum(jnp.abs(jnp.asarray(x)) > self.limit, axis=0)

    def probabilities(
        self, means: Float[AnyArray, "*b"], spreads: Float[AnyArray, "*b"]
    ) -> Float[Array, "*b v"]:
        """Probabilities of the bins under normal laws, their tails in the outer bins [..., B]."""
        centre, spread = jnp.asarray(means)[..., None], jnp.asarray(spreads)[..., None]
        inner = jnp.asarray(self.edges()[1:-1], centre.dtype)
        standard = (inner.reshape((1,) * (centre.ndim - 1) + (-1,)) - centre) / spread
        below = jax.scipy.special.ndtr(standard)
        ends = [jnp.zeros_like(centre), jnp.ones_like(centre)]
        return jnp.diff(jnp.concatenate([ends[0], below, ends[1]], axis=-1), axis=-1)
