"""Transformers that generate: trained on streams of subjects, they estimate one from its seeds.

Flax, Optax and Orbax are imported here and nowhere else: ``import opal.synthesis`` does not.
"""
