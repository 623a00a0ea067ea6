"""Predictions from laws and designs alone: never from data, estimators or synthesis."""
