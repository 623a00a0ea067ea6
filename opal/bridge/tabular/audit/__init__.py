"""What synthetic rows are: recited, shifted, recognisable, wrongly labelled, or impossible."""
