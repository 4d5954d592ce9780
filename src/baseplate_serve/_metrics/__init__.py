"""Metrics, and how they are shown.

slot.py       which name a worker writes its metrics under, so that the files of dead workers do not pile up
exporter.py   `/metrics`, for this process alone or for all workers that share a directory
"""
