"""Networks: one source a file."""
