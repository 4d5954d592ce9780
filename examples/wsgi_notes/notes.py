"""A WSGI service without a framework: notes in memory.

GET /               how many there are
GET /notes          all of them, a JSON array
POST /notes         adds the body
GET /slow?SECONDS   answers late: for trying what a stop does
GET /health?type=…  for probes; not ready while the server is leaving
"""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs

from baseplate_serve import config
from baseplate_serve.state import SERVER_STATE

READINESS = ("readiness", "1")  # by name, or by its number in the Thrift interface


class Notes:
    def __init__(self, longest):
        self.longest = longest
        self.notes = []

    def __call__(self, environ, start_response):
        status, body = self.answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ)
        text = json.dumps(body).encode() + b"\n"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]

    def answer(self, method, path, environ):
        match method, path:
            case "GET", "/":
                return "200 OK", {"notes": len(self.notes)}
            case "GET", "/notes":
                return "200 OK", self.notes
            case "POST", "/notes":
                return self.add(environ["wsgi.input"].read(self.longest + 1))
            case "GET", "/slow":
                time.sleep(float(environ["QUERY_STRING"] or 1))  # gevent's: other requests go on
                return "200 OK", "late"
            case "GET", "/health":
                return self.health(parse_qs(environ["QUERY_STRING"]).get("type", ["readiness"])[0])
        return "404 Not Found", {"error": f"there is no {method} {path}"}

    def add(self, data):
        if len(data) > self.longest:
            return "413 Content Too Large", {"error": f"a note has at most {self.longest} bytes"}
        self.notes.append(data.decode("utf-8", "replace"))
        return "201 Created", {"notes": len(self.notes)}

    def health(self, probe):
        if probe in READINESS and SERVER_STATE.shutting_down:
            return "503 Service Unavailable", {"status": "leaving"}
        return "200 OK", {"status": "healthy"}


def make_app(app_config):
    cfg = config.parse_config(app_config, {"longest_note": config.Optional(config.Integer, default=1000)})
    return Notes(cfg.longest_note)
