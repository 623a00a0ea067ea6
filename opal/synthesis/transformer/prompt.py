"""What a decoder can be asked: sequences that fit it, and numbers that bend its law."""

from __future__ import annotations

from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from opal.arrays import AnyArray
from opal.settings.groups import validate_number
from opal.synthesis.transformer.model import Decoder


def begun(decoder: Decoder, symbols_BxL: Int[AnyArray, "b l"]) -> Int[Array, "b l1"]:
    """The sequences with the symbol that begins each [B, L+1]."""
    symbols = jnp.asarray(symbols_BxL, jnp.int32)
    first = jnp.full((len(symbols), 1), decoder.config.vocab - 1, jnp.int32)
    return jnp.concatenate([first, symbols], axis=1)


def check_sampling(temperature: object, top_p: object) -> None:
    """Check numbers on the host; what JAX passes instead of them inside ``jit`` was checked.

    Raises:
        ValueError: a temperature below 1e-3, ``top_p`` outside (0, 1].
    """
    if isinstance(temperature, Real):
        rule = "temperature must be a finite number of at least 1e-3 (1 leaves the law as it is)"
        validate_number(temperature, rule, least=1e-3)
    if isinstance(top_p, Real):
        rule = "top_p must be a probability in (0, 1] (1 keeps every symbol)"
        validate_number(top_p, rule, least=np.finfo(float).tiny, most=1.0)


def check_symbols(decoder: Decoder, symbols_BxL: Int[AnyArray, "b l"], further: int = 0) -> None:
    """Check that the context holds the sequences, and the vocabulary their symbols.

    Symbols that are not known yet, inside ``jit``, are not looked at.

    Args:
        decoder: that is to read them.
        symbols_BxL: sequences without the beginning.
        further: symbols to be read after them.

    Raises:
        ValueError: too many symbols, or one that is no symbol.
    """
    config, length = decoder.config, symbols_BxL.shape[1]
    if length + further + 1 > config.context:
        raise ValueError(
            f"the beginning, {length} symbols and {further} after them must fit the model's "
            f"context of {config.context} positions; got {length + further + 1}. Use fewer seeds "
            "(n_context), or train a model with a longer context."
        )
    if isinstance(symbols_BxL, jax.core.Tracer):
        return
    values = np.asarray(symbols_BxL)
    wrong = values[(values < 0) | (values >= config.outputs)]
    if wrong.size:
        raise ValueError(
            f"symbols must lie in 0 … {config.outputs - 1}; got {int(wrong[0])}. Take the model of "
            "this alphabet, or drop what it does not know."
        )
