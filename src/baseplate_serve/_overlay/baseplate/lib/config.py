"""``baseplate.lib.config`` where the package is not installed."""

from baseplate_serve.config import *  # noqa: F403 (one module under two names)
