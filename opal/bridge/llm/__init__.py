"""Language models asked for samples: what was asked, answered and paid is never lost."""
