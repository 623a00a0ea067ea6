"""Real data: where it comes from, how it is judged, and what a classifier gains from it."""
