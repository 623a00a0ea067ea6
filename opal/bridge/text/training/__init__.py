"""Transformers that are trained here: fine-tuned classifiers and grown masked models."""
