"""Kernel specs and the writers that turn them into source."""
