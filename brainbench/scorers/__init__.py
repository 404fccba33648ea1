"""Notions of agreement: one a file."""
