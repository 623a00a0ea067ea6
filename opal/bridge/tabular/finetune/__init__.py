"""Causal language models that are fine-tuned on the rows of a table and then write more of them."""
