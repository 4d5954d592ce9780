"""Real server processes for tests: started on free ports, watched through what they print."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

from deadline import DEADLINE_S, wait_for

TESTS = Path(__file__).parents[1]
HELLO = """
def make_app(config):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
    return app
"""


def command_line(*arguments, python=(sys.executable,)):
    return [*python, "-m", "baseplate_serve", *arguments]


def environment(more=None):
    """Ours, with what is on our path importable, and *more*."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(more or {})}


def run_to_end(folder, *arguments, environ=None):
    """``baseplate-serve`` that ends by itself: its `returncode`, `stdout` and `stderr`."""
    return subprocess.run(
        command_line(*arguments),
        cwd=folder,
        env=environment(environ),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


class ServerProcess:
    """``baseplate-serve`` in a process of its own, in *folder*, where `application` and the file stand.

    What it prints goes to a file: a pipe that nobody reads would stop it."""

    def __init__(self, folder, *arguments, python=(sys.executable,), environ=None, command=None, **popen):
        self.folder = Path(folder)
        self.log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                command or command_line(*arguments, python=python),
                cwd=self.folder,
                env=environment(environ),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                **popen,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_exc_info):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    @property
    def records(self):
        """What it has logged, in order."""
        lines = [line for line in self.output.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines if line.endswith("}")]

    @property
    def messages(self):
        """The messages it has logged, in order."""
        return [record["message"] for record in self.records]

    @property
    def pid_of_server(self):
        """The process that logs: another than ours, if *command* has started it as a child."""
        self.wait_until_ready()
        return self.records[-1]["process"]

    def wait_until_logged(self, pattern, *, times=1):
        """The match of *pattern* in the last of *times* messages; fails when the process ends."""

        def found():
            matches = [match for message in self.messages if (match := re.search(pattern, message))]
            if len(matches) >= times:
                return matches[times - 1]
            assert self.process.poll() is None, f"the server ended:\n{self.output}"
            return None

        return wait_for(found, f"{pattern!r} in the log of the server")

    def wait_until_ready(self):
        """Its address: ('127.0.0.1', 43210), or the path of a unix socket."""
        name = self.wait_until_logged(r"listening on (\S+) \(").group(1)
        if "/" in name:
            return name
        host, _, port = name.rpartition(":")
        return host.strip("[]"), int(port)

    def get(self, path="/"):
        """The body of an HTTP reply, over a connection of its own."""
        host, port = self.wait_until_ready()
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=20) as reply:
            return reply.read()

    def get_from_file(self, path="/"):
        """The body of an HTTP reply from a server on a unix socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(self.folder / self.wait_until_ready()))
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            reply = http.client.HTTPResponse(client)
            reply.begin()
            return reply.read()

    def signal(self, signum):
        self.process.send_signal(signum)

    def wait(self, deadline_s=20.0):
        """Its exit status."""
        return self.process.wait(deadline_s)

    def stop(self):
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()


def write_service(
    folder, *, server="factory = baseplate_serve.wsgi", app="factory = application", code=HELLO
):
    """Write ``app.ini`` and ``application.py``; metrics are off unless *server* says otherwise."""
    metrics = "" if "metrics." in server else "metrics.enabled = false\n"
    (folder / "app.ini").write_text(
        f"[server:main]\n{textwrap.dedent(server)}\n{metrics}\n[app:main]\n{app}\n"
    )
    (folder / "application.py").write_text(textwrap.dedent(code))
    return "app.ini"


def serve(folder, *arguments, bind="127.0.0.1:0", **options):
    """A `ServerProcess` for what `write_service` wrote, on a free port."""
    return ServerProcess(folder, "--bind", bind, *arguments, "app.ini", **options)


def serve_with_mounts(folder, mount, **options):
    """Likewise, once the shell has run *mount*; what that mounts, no other process sees."""
    served = shlex.join(command_line("--bind", "127.0.0.1:0", "app.ini"))
    return ServerProcess(
        folder, command=["unshare", "-rm", "sh", "-ec", f"{mount}\nexec {served}"], **options
    )
