"""Transformers that generate: trained on streams of subjects, they estimate one from its seeds.

Flax, Optax and Orbax are imported in this package and nowhere else; ``config`` does without them.
"""
