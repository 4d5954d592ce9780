"""Debian's database servers, private to a module of tests: in a folder of their own, gone afterwards."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from certificates import write_pem
from deadline import DEADLINE_S, wait_for


def find(program, package, *patterns):
    """The path of *program*, on the PATH or where *patterns* say; fails naming the package it is in."""
    paths = [shutil.which(program), *(path for pattern in patterns for path in sorted(glob.glob(pattern)))]
    found = next(filter(None, paths), None)
    if found is None:
        pytest.fail(
            f"no {program} here: `apt-get install {package}`, or `make test`, which does it", pytrace=False
        )
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PrivateServer:
    """A server process in a folder of its own, under an account that may do nothing else."""

    account = "nobody"  # in place of root, which PostgreSQL refuses to be
    is_ready = ""  # what it logs when it can be asked

    def __enter__(self):
        with ExitStack() as stack:
            # Not below pytest's folder, into which no other account may look.
            self.folder = Path(tempfile.mkdtemp(prefix="libraries-"))
            stack.callback(shutil.rmtree, self.folder)
            self.log = self.folder / "log"
            self.port = free_port()
            self._as_whom = {}
            if os.geteuid() == 0:
                user = pwd.getpwnam(self.account)
                self._as_whom = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            command = self.prepare()
            self._give_away()
            with open(self.log, "wb") as out:
                self.process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    **self._as_whom,
                )
            stack.callback(self._stop)
            wait_for(self._ready, f"{self.is_ready!r} in the log of {type(self).__name__}")
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_exc_info):
        self._cleanup.close()

    def _stop(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def prepare(self):
        """Make what the server needs; returns its command line."""
        raise NotImplementedError

    def run(self, *command):
        """Run a program to its end under the server's account."""
        self._give_away()
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=60, **self._as_whom)

    def _give_away(self):
        if self._as_whom:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self._as_whom["user"], self._as_whom["group"])

    def _ready(self):
        text = self.log.read_text(errors="replace")
        assert self.process.poll() is None, f"{type(self).__name__} ended:\n{text}"
        return self.is_ready in text


class Postgres(PrivateServer):
    """PostgreSQL on a unix socket and, with TLS, on a port; for the user and the database `tests`."""

    is_ready = "database system is ready to accept connections"

    def prepare(self):
        initdb = find("initdb", "postgresql", "/usr/lib/postgresql/*/bin/initdb")
        key, certificate = write_pem(self.folder)
        data = str(self.folder / "data")
        self.run(initdb, "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        # Nobody expects this database to survive: what it does for that costs half of the time.
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "ssl": "on",
            "ssl_key_file": key,
            "ssl_cert_file": certificate,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 60,
        }
        postgres = os.path.join(os.path.dirname(os.path.realpath(initdb)), "postgres")
        return [postgres, "-D", data, *(f"--{name}={value}" for name, value in settings.items())]

    @property
    def over_socket(self):
        """What asyncpg wants to know."""
        return {"host": str(self.folder), "port": self.port, "user": "tests", "database": "postgres"}

    @property
    def over_tcp(self):
        return {**self.over_socket, "host": "127.0.0.1"}


class Redis(PrivateServer):
    """Redis on a unix socket and on a port; keeps nothing."""

    is_ready = "Ready to accept connections"

    def prepare(self):
        self.socket = str(self.folder / "socket")
        return [
            find("redis-server", "redis-server"),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket),
            *("--save", "", "--dir", str(self.folder), "--daemonize", "no"),
        ]
