r"""The synthetic table "craft" of arXiv 2406.03628, as the law that its 8,000 rows were drawn from.

With independent standard normals ``Z``, a fair sign S and ``[·]`` for rounding to one decimal,

.. math::
    X_1 = [Z_1], \quad X_2 = [Z_2], \quad X_3 = [.5 X_1 + .3 X_2 + .5 Z_3], \quad
    X_4 = [X_1 Z_4], \quad X_5 = [.5 X_3 + Z_5], \quad X_6 = S, \quad X_7 = [Z_6], \quad
    X_8 = [X_2 X_3], \quad X_9 = [X_1 X_2],

and the label is 1 where ``1.5 + s(x) + Z_7`` exceeds its median, ``s = .7 X_1 − .6 X_2 + .8 X_3 +
.4 X_9``. Given the features the label is probit, ``P(y = 1 | x) = Φ(s(x) − c)``. The constant c is
the median of the law; the published table took that of its own rows.

Every column is made of columns that are already rounded. The table says so: all its 344 rows with
X1 = 0 have X4 = 0, of which 9 % would differ had X4 been made before X1 was rounded; the identities
of X8 and X9 hold in every row. Whether s took rounded columns cannot be told from 8,000 labels (the
two differ by .0012 in a variance of 1); it is taken to, as all else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import optimize, special

from opal.arrays import AnyArray
from opal.draws import named, standard_normal, uniform
from opal.losses import Loss
from opal.settings.groups import Group, Sample, validate_count
from opal.settings.points import PointLaw
from opal.settings.quadrature import N_SCRAMBLES, scrambled_normals
from opal.settings.setting import LawSetting

Task = Literal["imbalanced", "spurious"]
COLUMNS = tuple(f"X{i}" for i in range(1, 10))
_CAUSES = 3  # normals behind the columns that the label depends on: X1, X2, X3 and their products
_SIGN = COLUMNS.index("X6")


def columns(
    causes: Float[AnyArray, "n 3"], others: Float[AnyArray, "n 3"], sign: Float[AnyArray, " n"]
) -> Float[Array, "n 9"]:
    """The features that normals and signs stand for, in the order of :data:`COLUMNS`.

    Args:
        causes: Z_1, Z_2 and Z_3.
        others: Z_4, Z_5 and Z_6.
        sign: X_6, ±1.
    """
    x1, x2 = _rounded(causes[:, 0]), _rounded(causes[:, 1])
    x3 = _rounded(0.5 * x1 + 0.3 * x2 + 0.5 * causes[:, 2])
    x4, x7 = _rounded(x1 * others[:, 0]), _rounded(others[:, 2])
    x5 = _rounded(0.5 * x3 + others[:, 1])
    return jnp.column_stack([x1, x2, x3, x4, x5, sign, x7, _rounded(x2 * x3), _rounded(x1 * x2)])


def label_score(x: Float[AnyArray, "n 9"]) -> Float[Array, " n"]:
    """``s(x) − c`` [n], above which minus a standard normal gives label 1."""
    s = 0.7 * x[:, 0] - 0.6 * x[:, 1] + 0.8 * x[:, 2] + 0.4 * x[:, 8]
    return jnp.asarray(s - median())


@lru_cache(maxsize=1)
def median() -> float:
    """The median c of ``s(X) + Z_7``: a sum over the lattice of X1, X2 and X3, exact to 1e-12."""
    axis = np.arange(-80, 81)  # tenths
    x1, x2, step = np.meshgrid(axis, axis, np.arange(-40, 41), indexing="ij", sparse=True)
    centre = 5 * x1 + 3 * x2  # of X3, in hundredths
    x3 = np.rint(centre / 10).astype(int) + step
    mass = _cell(x1, 10.0) * _cell(x2, 10.0) * _cell(x3 - centre / 10, 5.0)
    x9 = np.rint(np.round(x1 * x2 / 10, 9)).astype(int)
    hundredths = 7 * x1 - 6 * x2 + 8 * x3 + 4 * x9
    values, where = np.unique(hundredths, return_inverse=True)
    chance = np.bincount(where.ravel(), weights=mass.ravel())
    return float(
        optimize.brentq(lambda c: chance @ special.ndtr(values / 100 - c) - 0.5, -1, 1, xtol=1e-14)
    )


def _cell(tenths: np.ndarray, spread: float) -> np.ndarray:
    """Chance that a centred normal with ``spread`` tenths is rounded to so many tenths."""
    return special.ndtr((tenths + 0.5) / spread) - special.ndtr((tenths - 0.5) / spread)


def _rounded(values: AnyArray) -> Array:
    return jnp.round(jnp.asarray(values), 1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CraftLaw(PointLaw):
    """Rows are drawn from the law; expectations are sums over scrambled points of it.

    A point is a row of features, and its labels have their probabilities, so that no label is
    drawn. Scrambles follow one another; each has the mass 1/S of every group, and is an
    integration rule of its own: what they disagree about is the error of the sums.
    """

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group; exact, whatever the points.

        Causes and label are drawn again until the label is that of the group.

        Returns:
            Rows in group order; the first rows of a group do not depend on how many are drawn.
        """
        labels = np.repeat([group.label for group in self.groups], counts)
        causes = _causes_of(labels, counts, named(key, "causes"))
        others = standard_normal(named(key, "features"), counts, 3)
        sign = jnp.where(uniform(named(key, "signs"), counts, 1)[:, 0] > 0.5, 1.0, -1.0)
        if self.groups[0].attribute is not None:
            signs = [2.0 * (group.attribute or 0) - 1.0 for group in self.groups]
            sign = jnp.asarray(np.repeat(signs, counts), sign.dtype)
        return Sample(columns(causes, others, sign), jnp.asarray(labels), counts)

    def scrambled_risks(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g s"]:
        """:meth:`group_risk` by each scramble of the points [G, S]."""
        each = jax.vmap(lambda s: self.one_scramble(s).group_risk(theta, loss))
        return each(jnp.arange(N_SCRAMBLES)).T

    def scrambled_errors(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g s"]:
        """:meth:`group_error` by each scramble of the points [G, S]."""
        each = jax.vmap(lambda s: self.one_scramble(s).group_error(theta, loss))
        return each(jnp.arange(N_SCRAMBLES)).T

    def one_scramble(self, index: int | Array) -> CraftLaw:
        """The law by one of the independent sets of points."""
        table, features = jnp.asarray(self.table), jnp.asarray(self.features)
        blocks = table.reshape(len(table), N_SCRAMBLES, -1, table.shape[-1])
        own = features.reshape(N_SCRAMBLES, -1, features.shape[-1])[index]
        return CraftLaw(N_SCRAMBLES * blocks[:, index], own, self.groups)


def _causes_of(
    labels: np.ndarray, counts: tuple[int, ...], key: Key[Array, ""]
) -> Float[Array, "n 3"]:
    """Z_1, Z_2 and Z_3 of rows whose labels are given: the first of many draws that has them."""

    def draw(n: Array) -> tuple[Array, Array]:
        z = standard_normal(jax.random.fold_in(key, n), counts, _CAUSES + 1)
        x = columns(z[:, :_CAUSES], jnp.zeros_like(z[:, :_CAUSES]), jnp.zeros_like(z[:, 0]))
        return z[:, :_CAUSES], (label_score(x) + z[:, _CAUSES] > 0) == (labels == 1)

    def again(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        causes, found, n = state
        new, fits = draw(n)
        return jnp.where(found[:, None], causes, new), found | fits, n + 1

    start = (*draw(jnp.zeros((), int)), jnp.ones((), int))
    causes, _, _ = jax.lax.while_loop(lambda state: ~jnp.all(state[1]), again, start)
    found: Array = causes
    return found


@dataclass(frozen=True)
class Craft(LawSetting):
    """The table "craft" (see the module): nine features, of which four columns make the label.

    Attributes:
        task: ``"imbalanced"``: a group is a label. ``"spurious"``: a group is X6 and a label, in
            the order (−1, 0), (−1, 1), (1, 0), (1, 1); X6 has no part in the label.
        log2_points: risks are sums over 16·2^this points (8 scrambles, either sign).

    Raises:
        ValueError: another task, or a number of points that is not whole or below 2.
    """

    task: Task = "imbalanced"
    log2_points: int = 12

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise ValueError(f"task must be one of {get_args(Task)}; got {self.task!r}.")
        validate_count(self.log2_points, "log2_points", minimum=2)

    @property
    def name(self) -> str:
        """Short description used in records."""
        return f"craft({self.task})"

    @cached_property
    def law(self) -> CraftLaw:
        """The groups as a law."""
        with jax.enable_x64(True):
            z = scrambled_normals(2 * _CAUSES, self.log2_points)
            points = np.concatenate([z, z], axis=1).reshape(-1, z.shape[-1])
            sign = np.repeat([[1.0, -1.0]], len(z), axis=0).repeat(z.shape[1])
            x = np.asarray(columns(points[:, :_CAUSES], points[:, _CAUSES:], sign))
            chance = special.ndtr(np.asarray(label_score(x)))
        own = np.stack([_share(group, x, chance) for group in self._groups()])
        totals = own.reshape(len(own), len(z), -1).sum(axis=2).repeat(own.shape[1] // len(z), 1)
        mass = own / totals / len(z)
        labels = np.array([group.label for group in self._groups()])
        return CraftLaw(mass[:, :, None] * np.eye(2)[labels][:, None, :], x, self._groups())

    def bayes_risk(self) -> float:
        """Balanced log loss of the law's own probabilities, the least of any rule."""
        return float(self.scrambled_bayes_risks().mean())

    def scrambled_bayes_risks(self) -> Float[np.ndarray, " s"]:
        """:meth:`bayes_risk` by each scramble of the points [S].

        Groups of either task are equally likely, so that the label's entropy is balanced already.
        """
        with jax.enable_x64(True):
            chance = special.ndtr(np.asarray(label_score(self.law.features)))
        entropy = -special.xlogy(chance, chance) - special.xlog1py(1 - chance, -chance)
        return np.asarray(entropy.reshape(N_SCRAMBLES, -1).mean(axis=1))

    def _groups(self) -> tuple[Group, ...]:
        if self.task == "imbalanced":
            return tuple(Group(f"label {y}", y) for y in (0, 1))
        return tuple(Group(f"X6 {2 * a - 1}, label {y}", y, a) for a in (0, 1) for y in (0, 1))


def _share(group: Group, x: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Mass of each point in a group [n], up to a constant."""
    labelled = chance if group.label == 1 else 1 - chance
    if group.attribute is None:
        return labelled
    return np.where(x[:, _SIGN] == 2 * group.attribute - 1, labelled, 0.0)
