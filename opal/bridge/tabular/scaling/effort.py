"""How much work goes into a curve of the sound protocol."""

from __future__ import annotations

from dataclasses import dataclass

from opal import validation


@dataclass(frozen=True)
class Effort:
    """Which arms of the sound protocol there are, and how precisely they are measured.

    Raises:
        ValueError: a number is out of range; the message names its flag.
    """

    sizes: tuple[int, ...] = (0, 400, 1200, 3600)
    """Added rows N of an arm, over all groups, beyond those that fill; multiples of 4."""
    alphas: tuple[float, ...] = (0.1, 0.3, 0.6, 0.9)
    """Weights of the added rows in the OPAL objective, beside the paper's 1/2 for each row."""
    draws: int = 20
    """Draws of the majority rows, four for each original, and of the makers' rows."""
    folds: int = 3
    """Folds of real rows that tune and calibrate."""
    real_sizes: tuple[int, ...] = (60, 100, 200, 400, 800, 1600, 3200, 6400)
    """Real rows alone, as many of each group, that arms are held against; as far as they reach."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        validation.require_at_least("draws", self.draws, 2, "One has no standard error.")
        validation.require_at_least("folds", self.folds, 2)
        validation.require_seed(self.seed)
        if not self.sizes or any(size < 0 or size % 4 for size in self.sizes):
            raise ValueError(
                "--sizes must be multiples of 4 that are not negative, for as many rows are added "
                f"to each of up to four groups; got {list(self.sizes)}."
            )
        if len(self.real_sizes) < 2 or any(size < 40 or size % 4 for size in self.real_sizes):
            raise ValueError(
                "--real-sizes needs two numbers of rows to lie between, 40 or more and multiples "
                f"of 4; got {list(self.real_sizes)}."
            )
        for name in ("sizes", "alphas", "real_sizes"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(
                    f"{validation.flag(name)} must be different numbers; got {list(values)}."
                )
        fewest = min(self.real_sizes) // 4  # of a group, where there are four
        validation.require_at_most("folds", self.folds, fewest, "rows of a group in --real-sizes")
        outside = [alpha for alpha in self.alphas if not 0 < alpha < 1]
        if outside:
            raise ValueError(
                f"--alphas must lie between 0 and 1, both excluded; got {outside}. Weight 0 is "
                "the arm with N = 0."
            )
