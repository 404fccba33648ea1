"""Comparing entries: without data, without models, from the replicates they carry."""
