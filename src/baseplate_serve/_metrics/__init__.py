"""What Prometheus sees.

exporter.py      /metrics
slot.py          under which name a worker writes, so that files of dead workers do not pile up
room.py          files whose disk is full
nowhere.py       where there are no metrics
declared.py      every metric of ours
"""
