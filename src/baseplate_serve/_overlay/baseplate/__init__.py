"""Stands in for ``baseplate`` where that package is not installed."""
