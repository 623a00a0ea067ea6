"""Small classes filled up, by repeated cross-validation (``opal text impute``)."""
