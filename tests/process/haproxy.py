"""The real HAProxy in front of workers: on ports of the test's own, and asked how it finds the workers."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from deadline import DEADLINE_S, wait_for

HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")  # None: not installed
EXAMPLE = Path(__file__).parents[2] / "examples" / "operations" / "haproxy.cfg"


class HaProxy:
    """HAProxy with *configuration*, in *folder*.  `{http}` and the like in it become the addresses of sockets
    that are bound here, one for each of *frontends*; `addresses` has them by name.  Paths may be relative."""

    def __init__(self, folder, configuration, *frontends):
        self.folder = Path(folder)
        listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in frontends}
        self.addresses = {name: listener.getsockname() for name, listener in listeners.items()}
        fds = {name: f"fd@{listener.fileno()}" for name, listener in listeners.items()}
        for name, bind in fds.items():
            configuration = configuration.replace(f"{{{name}}}", bind)
        (self.folder / "haproxy.cfg").write_text(
            f"global\n    stats socket unix@{self.folder}/admin.sock level admin\n{configuration}\n"
        )
        self.log = self.folder / "haproxy.log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [HAPROXY, "-db", "-f", "haproxy.cfg"],
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno() for listener in listeners.values()],
                env=os.environ,
            )
        for listener in listeners.values():
            listener.close()

    def __enter__(self):
        wait_for(self._serves, "HAProxy serves")
        return self

    def __exit__(self, *_exc_info):
        self.process.kill()
        self.process.wait()

    def _serves(self):
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_UNIX) as trying:  # the file is there before anybody listens on it
            return trying.connect_ex(str(self.folder / "admin.sock")) == 0

    def rows(self):
        """What `show stat` says: a dictionary for each frontend, backend and server."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(DEADLINE_S)
            asking.connect(str(self.folder / "admin.sock"))
            asking.sendall(b"show stat\n")
            with asking.makefile(errors="replace") as answer:
                text = answer.read()
        return list(csv.DictReader(text.removeprefix("# ").splitlines()))

    def row(self, proxy, name):
        return next(row for row in self.rows() if (row["pxname"], row["svname"]) == (proxy, name))

    def wait_until(self, backend, server, status):
        """Wait until its checks have found *server* `UP` or `DOWN`; before the first it counts as up."""

        def found():
            row = self.row(backend, server)
            return row["status"] == status and row["check_status"] not in ("INI", "UNK")

        wait_for(found, f"{server} of {backend} is {status}")

    def total(self, backend, column):
        """The sum over *backend*'s servers."""
        return sum(
            int(row[column] or 0)
            for row in self.rows()
            if row["pxname"] == backend and row["svname"] not in ("FRONTEND", "BACKEND")
        )


class Wrk:
    """wrk against *address* until `stop`."""

    def __init__(self, address, *options, connections=16):
        host, port = address
        self.process = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", "-d300s", "--timeout=20s", *options, f"http://{host}:{port}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self):
        """What it has found, as it prints it."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=DEADLINE_S)[0]
