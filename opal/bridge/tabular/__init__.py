"""Tables that a language model oversampled: published and sound evaluation."""
