"""Logs: one record a line on standard output, with the trace of the request that is being served.

setup.py     where records go, and what the file's [loggers] sections change about it
formats.py   text for a terminal, JSON for everything else
trace.py     which trace that is: OpenTelemetry's, else the one that the request's headers carry
"""
