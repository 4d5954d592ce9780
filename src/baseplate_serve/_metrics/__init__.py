"""What Prometheus sees.

exporter.py      /metrics
slot.py          under which name a worker writes, so that files of dead workers do not pile up
declared.py      every metric of ours
"""
