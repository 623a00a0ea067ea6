"""Texts that a language model wrote for small classes: made, judged, and what they are worth."""
