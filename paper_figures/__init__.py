"""Figures: one thin module each, from records to a picture that states its own checks."""
