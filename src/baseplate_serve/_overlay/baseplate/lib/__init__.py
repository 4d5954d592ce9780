"""Stands in for ``baseplate.lib`` where the package is not installed."""
