"""``factory = baseplate.server.wsgi``"""

from __future__ import annotations

from baseplate_serve.wsgi import make_server

__all__ = ["make_server"]
