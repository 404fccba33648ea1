"""How things are computed: torch tensors in, tensors out. No labelled arrays, no files, no names."""
