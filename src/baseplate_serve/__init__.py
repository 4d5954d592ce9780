"""A drop-in ``baseplate-serve``: Thrift and WSGI services on gevent.

The modules directly under this package are what applications and INI files may name;
folders that begin with an underscore are ours to change.
"""

from __future__ import annotations

__version__ = "0.1.0"
