"""A trained decoder of quantised rows as a synthesizer of continuous features."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal.settings.groups import Group, Sample
from opal.settings.law import Law
from opal.synthesis.synthesizer import require_group_labels
from opal.synthesis.transformer.gaussian_stream import check_dim
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.quantised_law import QuantisedLaw
from opal.synthesis.transformer.sample import Number, branches, law_of, next_law
from opal.synthesis.transformer.seeds import check_generator, tables_given

_MOST_CELLS = 2**16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianGenerator:
    """A decoder of ``[BOS, x11, …, x1p, x21, …]``; every row carries its group's label.

    The probability of each of the B^p cells is known exactly, and so is the law inside a cell.

    Attributes:
        decoder: of B + 1 symbols, trained on a :class:`~.gaussian_stream.GaussianStream`.
        dim: coordinates p of a row, those of the stream (static).
        quantiser: that of the stream (static).
        temperature: divides the scores of each coordinate.
        top_p: mass of the most probable bins that are kept, for each coordinate.
        n_context: seeds (rows) of each group that are read, the first ones; None for all (static).
        name: used in records (static).

    Raises:
        ValueError: a decoder of another quantiser, more than 2^16 cells, a number out of range.
    """

    decoder: Decoder
    dim: int = field(metadata={"static": True})
    quantiser: Quantiser = field(default_factory=Quantiser, metadata={"static": True})
    temperature: Number = 1.0
    top_p: Number = 1.0
    n_context: int | None = field(default=None, metadata={"static": True})
    name: str = field(default="quantised transformer", metadata={"static": True})

    def __post_init__(self) -> None:
        """Check what is known on the host."""
        check_generator(self.decoder, self.temperature, self.top_p, self.n_context)
        check_dim(self.dim)
        n_bins = self.quantiser.n_bins
        if n_bins**self.dim > _MOST_CELLS:
            raise ValueError(
                f"n_bins^dim must be at most {_MOST_CELLS} cells, whose probabilities are all "
                f"computed; got {n_bins}^{self.dim}. Take fewer bins."
            )
        if isinstance(self.decoder, Decoder) and self.decoder.config.vocab != n_bins + 1:
            raise ValueError(
                f"a decoder for {n_bins} bins has {n_bins + 1} symbols, the beginning included; "
                f"this one has {self.decoder.config.vocab}. Take the quantiser that it was "
                "trained with."
            )

    @property
    def min_seeds(self) -> int:
        """None are needed: without seeds the law is the prior predictive."""
        return 0

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> QuantisedLaw:
        """The law of the next row given each group's seeds; exact, so the key is not used.

        Values outside the quantiser's range count as one of the outer bin on their side;
        :meth:`outside` says how many there are.

        Raises:
            ValueError: more seeds than the context holds, a group of mixed labels, another number
                of features, values that are no numbers (where they are known on the host).
        """
        del key
        require_group_labels(groups, self.name)
        if seeds.x.shape[1] != self.dim:
            raise ValueError(
                f"seeds must have the {self.dim} coordinates that the generator was trained on; "
                f"got {seeds.x.shape[1]}. Train one for rows of {seeds.x.shape[1]}."
            )
        if not isinstance(seeds.x, jax.core.Tracer) and np.isnan(np.asarray(seeds.x)).any():
            raise ValueError(
                "seeds must be numbers; got nan. Drop the rows, or impute what is missing."
            )
        rows = self.quantiser.encode(seeds.x)
        table = tables_given(rows, seeds.counts, self.n_context, self.cells)
        return QuantisedLaw(table, self.quantiser, self.dim, groups)

    @jax.jit
    def cells(self, symbols_BxL: Int[Array, "b l"]) -> Float[Array, "b c"]:
        """Probabilities of all cells of the next row after each sequence [B, B^p].

        The sequence is read once, and all beginnings of a row after it with what was cached.
        """
        n_bins, p = self.quantiser.n_bins, self.dim
        if p == 1:
            options = {"temperature": self.temperature, "top_p": self.top_p}
            return next_law(self.decoder, symbols_BxL, **options)
        beginnings = np.indices((n_bins,) * (p - 1)).reshape(p - 1, -1).T.astype(np.int32)
        root_BxV, after_BxMxJxV = branches(self.decoder, symbols_BxL, beginnings)
        first = law_of(root_BxV, self.temperature, self.top_p)
        given = law_of(after_BxMxJxV, self.temperature, self.top_p)
        mass = first[:, beginnings[:, 0]]
        for j in range(1, p - 1):
            mass *= given[:, np.arange(len(beginnings)), j - 1, beginnings[:, j]]
        table = (mass[:, :, None] * given[:, :, -1, :]).reshape(len(first), -1)
        # Laws of one coordinate agree to float32 only among the beginnings that share it.
        return table / jnp.sum(table, axis=-1, keepdims=True)

    def outside(self, seeds: Sample) -> np.ndarray:
        """How many seeds of each group are clipped, by coordinate [G, p]."""
        counted = [self.quantiser.outside(seeds.x[seeds.rows(g)]) for g in range(len(seeds.counts))]
        return np.stack([np.asarray(count) for count in counted])

    def population(self, truth: Law) -> None:
        """None: how the law depends on the seeds is known to the decoder alone."""
        del truth
