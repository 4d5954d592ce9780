"""A master that speaks Einhorn's protocol: sockets by environment, JSON lines over its command socket.

https://github.com/contribsys/einhorn: `bin/einhorn` ('Server sockets', 'Manual ACKs') and
`prepare_child_environment` in `lib/einhorn/command.rb`.  Workers are children of the process in which it
runs; as a script, it is a master of its own, which a test can kill:  fake_einhorn.py FOLDER COMMAND...
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import gevent


class FakeEinhorn:
    """Binds and listens as Einhorn does, and collects in `commands` what its workers send, line by line."""

    def __init__(self, folder, *listeners):
        self.listeners = listeners or (socket.create_server(("127.0.0.1", 0)),)
        self.commands = []
        self._path = str(Path(folder) / "einhorn.sock")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self._path)
        self._socket.listen()
        self._accepting = gevent.spawn(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_exc_info):
        self._accepting.kill()
        for sock in (self._socket, *self.listeners):
            sock.close()

    @property
    def environ(self):
        """What a worker finds in its environment."""
        fds = {f"EINHORN_FD_{index}": str(fd) for index, fd in enumerate(self.fds)}
        return {
            "EINHORN_MASTER_PID": str(os.getpid()),
            "EINHORN_SOCK_PATH": self._path,
            "EINHORN_FD_COUNT": str(len(fds)),
            "EINHORN_CHILD_INDEX": "0",
            **fds,
        }

    @property
    def fds(self):
        """The descriptors that a worker inherits."""
        return tuple(listener.fileno() for listener in self.listeners)

    def _accept(self):
        while True:
            client, _ = self._socket.accept()
            gevent.spawn(self._read, client)

    def _read(self, client):
        with client, client.makefile("rb") as lines:
            for line in lines:
                self.commands.append(json.loads(line) if line.endswith(b"\n") else f"half a line: {line}")


def main():
    folder, *command = sys.argv[1:]
    with FakeEinhorn(folder) as master, suppress(KeyboardInterrupt):
        subprocess.Popen(command, env={**os.environ, **master.environ}, pass_fds=master.fds).wait()


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    main()
