r"""Tokens drawn by latent subjects: small groups that a generator has seen the like of.

An alphabet of d tokens has embeddings ``u_x`` in R^r. A subject t in R^r draws tokens with

.. math:: P_t(x) ∝ \exp(⟨u_x, t⟩ / η),

and a label y of K with ``P(y | x) ∝ exp(⟨u_x, s_y⟩ / η)`` for latents ``s_y`` of its own
(arXiv 2406.03628, section 4). All laws are finite: risks, divergences and biases are exact sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy.typing import ArrayLike

from opal.arrays import AnyArray
from opal.draws import as_key, named, standard_normal
from opal.settings.finite import FiniteLaw
from opal.settings.groups import Group, require_finite, validate_count, validate_number
from opal.settings.setting import FiniteSetting


@dataclass(frozen=True, eq=False)
class Alphabet:
    """Tokens with embeddings, and the temperature at which subjects choose among them.

    Attributes:
        embeddings: u [d, r].
        eta: η > 0.

    Raises:
        ValueError: fewer than two tokens, equal ones, a number that is not finite, η ≤ 0.
    """

    embeddings: np.ndarray
    eta: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        values = np.array(self.embeddings, dtype=float)
        if values.ndim != 2 or len(values) < 2 or values.shape[1] < 1:
            raise ValueError(
                "embeddings must be [d, r] with at least two tokens and one coordinate; got shape "
                f"{values.shape}."
            )
        require_finite(values, "embeddings")
        if len(np.unique(values, axis=0)) < len(values):
            raise ValueError("tokens must have different embeddings; two rows are equal.")
        validate_number(self.eta, "eta must be a finite number of at least 1e-3", least=1e-3)
        object.__setattr__(self, "embeddings", values)

    @classmethod
    def random(
        cls, n_tokens: int, rank: int, *, eta: float = 0.5, key: int | Key[Array, ""]
    ) -> Alphabet:
        """Embeddings of independent normals with variance 1/r, so that ⟨u, t⟩ has that of t.

        Raises:
            ValueError: fewer than two tokens, no coordinate, η ≤ 0.
        """
        validate_count(n_tokens, "n_tokens", minimum=2)
        validate_count(rank, "rank", minimum=1)
        with jax.enable_x64(True):
            drawn = standard_normal(named(as_key(key), "embeddings"), n_tokens, rank)
        return cls(np.asarray(drawn) / np.sqrt(rank), eta)

    @property
    def n_tokens(self) -> int:
        """Number of tokens d."""
        return len(self.embeddings)

    @property
    def rank(self) -> int:
        """Number of latent dimensions r."""
        return self.embeddings.shape[1]

    def log_law(self, subject: Float[AnyArray, "*b r"]) -> Float[Array, "*b d"]:
        """Logarithms of P_t(x) for subjects t."""
        embeddings = jnp.asarray(self.embeddings, jnp.asarray(subject).dtype)
        return jax.nn.log_softmax(jnp.asarray(subject) @ embeddings.T / self.eta, axis=-1)

    def log_labels(self, latents: Float[AnyArray, "*b k r"]) -> Float[Array, "*b d k"]:
        """Logarithms of P(y | x) for label latents s."""
        embeddings = jnp.asarray(self.embeddings, jnp.asarray(latents).dtype)
        scores = jnp.einsum("dr,...kr->...dk", embeddings, latents) / self.eta
        return jax.nn.log_softmax(scores, axis=-1)


@dataclass(frozen=True)
class Prior:
    """Where subjects come from: ``t ~ N(mean · 1, scale² I)`` in r dimensions.

    A prior other than the one that a generator was trained under is how it is mismatched.

    Attributes:
        scale: standard deviation of each coordinate, positive.
        mean: of each coordinate.

    Raises:
        ValueError: a number is not finite, or the scale not positive.
    """

    scale: float = 1.0
    mean: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        validate_number(self.scale, "scale must be a finite number of at least 1e-6", least=1e-6)
        validate_number(self.mean, "mean must be a finite number")

    def draw(self, key: Key[Array, ""], n: int, rank: int) -> Float[Array, "n r"]:
        """Independent subjects [n, r]."""
        return self.mean + self.scale * standard_normal(key, n, rank)


class TokenSetting(FiniteSetting):
    """Groups of labelled tokens, each with its own subject; rules see the embeddings.

    Without label latents a group is a class: its tokens carry its index as their label. With them
    the labels of a group are mixed, and its own is the one that it draws most often.

    Args:
        alphabet: tokens and temperature.
        subjects: t [G, r].
        label_latents: s [G, K, r]; None where groups are classes.

    Raises:
        ValueError: shapes that do not fit, fewer than two groups or labels, numbers not finite.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        subjects: ArrayLike,
        label_latents: ArrayLike | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self.alphabet = alphabet
        self.subjects = np.array(subjects, dtype=float)
        if self.subjects.ndim != 2 or self.subjects.shape[1] != alphabet.rank:
            raise ValueError(
                f"subjects must be [G, {alphabet.rank}], one row for each group; got shape "
                f"{self.subjects.shape}."
            )
        if len(self.subjects) < 2:
            raise ValueError(f"a setting needs at least two groups; got {len(self.subjects)}.")
        require_finite(self.subjects, "subjects")
        self.label_latents = None if label_latents is None else np.array(label_latents, dtype=float)
        if self.label_latents is not None:
            self._check_latents(self.label_latents)
        shape = f"d={alphabet.n_tokens}, r={alphabet.rank}, G={len(self.subjects)}"
        self._name = name or f"tokens({shape})"

    def _check_latents(self, latents: np.ndarray) -> None:
        g, r = self.subjects.shape
        if latents.ndim != 3 or latents.shape[0] != g or latents.shape[2] != r:
            raise ValueError(f"label_latents must be [{g}, K, {r}]; got shape {latents.shape}.")
        if latents.shape[1] < 2:
            raise ValueError(f"label_latents need at least two labels; got {latents.shape[1]}.")
        require_finite(latents, "label_latents")

    @classmethod
    def drawn(
        cls,
        alphabet: Alphabet,
        n_groups: int = 2,
        *,
        n_labels: int | None = None,
        prior: Prior | None = None,
        key: int | Key[Array, ""],
    ) -> TokenSetting:
        """Subjects, and label latents if ``n_labels`` is given, drawn from a prior.

        Raises:
            ValueError: fewer than two groups or labels.
        """
        validate_count(n_groups, "n_groups", minimum=2)
        if n_labels is not None:
            validate_count(n_labels, "n_labels", minimum=2)
        known, r = prior or Prior(), alphabet.rank
        with jax.enable_x64(True):
            subjects = known.draw(named(as_key(key), "subjects"), n_groups, r)
            latents = None
            if n_labels is not None:
                flat = known.draw(named(as_key(key), "labels"), n_groups * n_labels, r)
                latents = np.asarray(flat).reshape(n_groups, n_labels, r)
            return cls(alphabet, np.asarray(subjects), latents)

    @property
    def name(self) -> str:
        """Short description used in records."""
        return self._name

    @cached_property
    def law(self) -> FiniteLaw:
        """The groups as a law."""
        n_groups = len(self.subjects)
        # Kept for later, so it must hold numbers even where it is first asked for under ``jit``.
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            tokens = np.exp(np.asarray(self.alphabet.log_law(self.subjects)))[:, :, None]
            if self.label_latents is None:
                table = tokens * np.eye(n_groups)[:, None, :]
                groups = tuple(Group(f"class {g}", g) for g in range(n_groups))
            else:
                table = tokens * np.exp(np.asarray(self.alphabet.log_labels(self.label_latents)))
                most = table.sum(axis=1).argmax(axis=1).tolist()
                groups = tuple(Group(f"subject {g}", most[g], g, True) for g in range(n_groups))
        return FiniteLaw(table, self.alphabet.embeddings, groups)
