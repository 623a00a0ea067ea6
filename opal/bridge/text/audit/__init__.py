"""What synthetic texts are: recited, too close to their seeds, all alike, wrongly labelled."""
