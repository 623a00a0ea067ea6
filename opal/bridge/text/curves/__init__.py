"""Learning curves: what added texts are worth, arm by arm (``opal text evaluate``)."""
