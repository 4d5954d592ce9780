from __future__ import annotations

from baseplate.server import load_app_and_run_server

load_app_and_run_server()
