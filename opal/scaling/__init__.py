"""Scaling laws: functional forms, fits with honest intervals, and what to buy."""
