r"""Sequences of quantised rows: each is of one subject, a Gaussian law in p dimensions.

A subject has mean ``m ~ N(0, τ² I)`` and covariance ``Σ = σ² Z Zᵀ / ν``, where Z is [p, ν] of
independent standard normals (a Wishart law with mean σ² I), or ``Σ = σ² I`` always. Its rows are
written coordinate after coordinate: ``[BOS, x11, …, x1p, x21, …]``, each coordinate as the token of
its bin.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal.draws import named, standard_normal
from opal.settings.groups import validate_count, validate_number
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.streams import Batch

MOST_COORDINATES = 4


@dataclass(frozen=True)
class GaussianStream:
    """Quantised rows of Gaussian subjects.

    Attributes:
        dim: coordinates p of a row, 1 to 4.
        quantiser: of each coordinate.
        mean_scale: τ.
        spread: σ.
        degrees: ν ≥ p; the more, the closer all covariances are to σ² I, as they are for None.

    Raises:
        ValueError: a number that is not whole or out of range.
    """

    dim: int
    quantiser: Quantiser = field(default_factory=Quantiser)
    mean_scale: float = 1.0
    spread: float = 1.0
    degrees: int | None = 10

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_dim(self.dim)
        if self.degrees is not None:
            validate_count(self.degrees, "degrees", minimum=self.dim)
        for name in ("mean_scale", "spread"):
            rule = f"{name} must be a finite number of at least 1e-6"
            validate_number(getattr(self, name), rule, least=1e-6)

    @property
    def vocab(self) -> int:
        """The bins and the beginning: B + 1."""
        return self.quantiser.n_bins + 1

    def batch(
        self, step: int | Int[Array, ""], size: int, length: int, *, key: Key[Array, ""]
    ) -> Batch:
        """Batch number ``step``: its first sequences do not depend on ``size``.

        The law of a symbol is that of its bin given the subject and the values (not only the bins)
        of the coordinates before it in its row.
        """
        k = jax.random.fold_in(key, step)
        p, n = self.dim, -(-length // self.dim)  # rows, the last one perhaps cut
        means_BxP, factors_BxPxP = self._subjects(k, size)
        z_BxNxP = standard_normal(named(k, "rows"), size, n * p).reshape(size, n, p)
        z_BxNxP = z_BxNxP.astype(jnp.float32)
        spreads_BxP = jnp.diagonal(factors_BxPxP, axis1=1, axis2=2)
        before_BxPxP = factors_BxPxP - spreads_BxP[:, :, None] * np.eye(p, dtype=np.float32)[None]
        centres_BxNxP = means_BxP[:, None, :] + jnp.einsum("bij,bnj->bni", before_BxPxP, z_BxNxP)
        x_BxNxP = centres_BxNxP + spreads_BxP[:, None, :] * z_BxNxP
        widths_BxNxP = jnp.broadcast_to(spreads_BxP[:, None, :], x_BxNxP.shape)
        laws = self.quantiser.probabilities(centres_BxNxP, widths_BxNxP)
        laws = laws.reshape(size, n * p, -1)[:, :length]
        symbols_BxL = self.quantiser.encode(x_BxNxP).reshape(size, n * p)[:, :length]
        begin = jnp.full((size, 1), self.vocab - 1, jnp.int32)
        inputs_BxL = jnp.concatenate([begin, symbols_BxL[:, :-1]], axis=1)
        return Batch(inputs_BxL, symbols_BxL, laws)

    def _subjects(
        self, key: Key[Array, ""], size: int
    ) -> tuple[Float[Array, "b p"], Float[Array, "b p p"]]:
        """Means and Cholesky factors of the covariances."""
        p, v = self.dim, self.degrees
        means_BxP = self.mean_scale * standard_normal(named(key, "means"), size, p)
        means_BxP = means_BxP.astype(jnp.float32)
        if v is None:
            factor = self.spread * np.eye(p, dtype=np.float32)
            return means_BxP, jnp.broadcast_to(factor, (size, p, p))
        z = standard_normal(named(key, "covariances"), size, p * v).reshape(size, p, v)
        covariances = self.spread**2 * jnp.einsum("biv,bjv->bij", z, z) / v
        # With ν = p a covariance may be close to singular; float32 must still factor it.
        covariances += 1e-5 * self.spread**2 * jnp.eye(p)[None]
        factors = jnp.linalg.cholesky(covariances)
        return means_BxP, factors.astype(jnp.float32)

    def identity(self) -> dict[str, Any]:
        """The quantiser and the law of the subjects."""
        return {"stream": "gaussian", **asdict(self)}


def check_dim(dim: int) -> None:
    """Check the number of coordinates.

    Raises:
        ValueError: not whole, below 1 or above 4.
    """
    validate_count(dim, "dim", minimum=1)
    if dim > MOST_COORDINATES:
        raise ValueError(
            f"quantised rows have at most {MOST_COORDINATES} coordinates: their law has "
            f"n_bins^dim cells; got {dim}. Leave coordinates out, or use GaussianFit."
        )
