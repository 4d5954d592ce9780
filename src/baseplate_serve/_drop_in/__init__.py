"""Existing services import from Reddit's ``baseplate``; this is where ours takes its server's place.

finder.py      lays `_overlay/` over the installed package
observers.py   what an application built with ``baseplate`` expects of the server around it

What is laid over it, modules that applications import, stands in `_overlay/`, above everything else.
"""
