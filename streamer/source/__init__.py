"""Upstream events become changes and hints: the first role."""
