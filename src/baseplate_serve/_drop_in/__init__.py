"""Existing services import from Reddit's ``baseplate``; this is where ours takes its server's place.

finder.py      lays `overlay/` over the installed package
observers.py   what an application built with ``baseplate`` expects of the server around it
overlay/       ``baseplate.server``, and the little of ``baseplate`` that imports without the package
"""
