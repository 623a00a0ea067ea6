"""Studies: one thin module per claim, from a frozen config to records."""
