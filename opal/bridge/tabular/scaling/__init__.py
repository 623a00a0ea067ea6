"""The scaling-law experiments of arXiv 2406.03628: recomputed as published, then soundly."""
