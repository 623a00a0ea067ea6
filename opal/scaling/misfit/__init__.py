"""Whether a law fits a table: docs/theory.md, section 11.4."""
