"""A transformer that reads a few (features, response) pairs of a neuroid and writes that neuroid's readout."""
