"""What things are: facts, labelled arrays, splits, scores. numpy, pandas and xarray; no torch."""
