"""Signals become events.

They are installed before the application's factory runs, so that a handler which the application
installs for itself (SIGUSR1, SIGUSR2) wins over ours.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import gevent
from gevent import get_hub, getcurrent
from greenlet import GreenletExit

from baseplate_serve._lifecycle.dump import log_everything, log_interrupted
from baseplate_serve._lifecycle.forked import in_children
from baseplate_serve._lifecycle.phase import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from baseplate_serve._lifecycle.connections import InFlight
    from baseplate_serve._lifecycle.lifecycle import Lifecycle

STOP_SIGNALS = (
    signal.SIGTERM,  # Kubernetes, systemd
    signal.SIGINT,  # Ctrl-C
    signal.SIGUSR2,  # Einhorn
)


INSISTED = 3  # stop signals, none heard:
STUCK_S = 1.0  # after this time what runs is interrupted


class StoppedWhileStarting(SystemExit):
    """Raised in the main greenlet by a stop signal while the application is still being loaded."""


class Signals:
    """Posts stop signals to *lifecycle* and dumps on SIGUSR1.

    `in_flight` says which requests are in flight; the composition root sets it once there is a server.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.in_flight: Callable[[], list[InFlight]] = list
        self._lifecycle = lifecycle
        self._asked = 0
        self._main = getcurrent()
        self._loop = get_hub().loop
        self._dump_asked = self._loop.async_()
        self._dump_asked.start(self._spawn_dump)

    def install(self) -> None:
        """Take over the stop signals and SIGUSR1; system calls they interrupt are resumed."""
        self._wake_hub()
        in_children(self, Signals._leave_to_parent)
        # gevent's os.fork() begins to listen for ended children after the first fork.  A child that has
        # ended by then would be waited for for ever.
        self._loop.install_sigchld()
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._on_stop)
            signal.siginterrupt(signum, False)
        signal.signal(signal.SIGUSR1, self._on_dump)
        signal.siginterrupt(signal.SIGUSR1, False)

    def _wake_hub(self) -> None:
        """Have every signal wake the hub, the application's own included.

        Python only notes that a signal came, and runs its handler between two instructions.  One that comes
        just before the hub polls would wait for the next event of an idle server, perhaps for ever.
        """
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._watcher = self._loop.io(self._woken.fileno(), 1, ref=False)
        self._watcher.start(self._drain)

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken.fileno(), 4096)

    def _leave_to_parent(self) -> None:
        """In a forked child: a stop signal ends it, as it has nobody to serve, and wakes no one else."""
        self._watcher.stop()
        inherited = self._woken, self._wake
        self._wake_hub()
        for sock in inherited:
            sock.close()
        for signum in STOP_SIGNALS:
            if signal.getsignal(signum) == self._on_stop:
                signal.signal(signum, signal.SIG_DFL)

    def on_hangup(self, reload: Callable[[], None]) -> None:
        """Call *reload* in a greenlet on SIGHUP, unless the application handles that itself."""
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
            return
        self._reload_asked = get_hub().loop.async_()
        self._reload_asked.start(gevent.spawn, reload)
        signal.signal(signal.SIGHUP, lambda _signum, _frame: self._reload_asked.send())
        signal.siginterrupt(signal.SIGHUP, False)

    def ignore(self) -> None:
        """Ignore what is still ours: the process has stopped, and a signal that comes now is too late.

        Python takes its handlers away while it ends, and the default action of SIGUSR2 would turn a clean
        stop into a death.
        """
        for signum in (*STOP_SIGNALS, signal.SIGUSR1):
            if signal.getsignal(signum) in (self._on_stop, self._on_dump):
                signal.signal(signum, signal.SIG_IGN)

    def _on_stop(self, signum: int, frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        if self._lifecycle.phase is Phase.STARTING:
            # Loading may take long and nobody is being served: leave now.  Raised in whichever
            # greenlet runs, gevent carries a SystemExit to the main one.
            raise StoppedWhileStarting(0)
        repeated = self._asked > 0 and signum != signal.SIGUSR2  # Einhorn repeats itself, people insist
        self._asked += 1
        self._lifecycle.post(Event.STOP_REPEATED if repeated else Event.STOP_ASKED, name)
        stuck = repeated and self._asked >= INSISTED and self._lifecycle.unheard_s > STUCK_S
        if stuck and getcurrent() not in (get_hub(), self._main):
            # No stop_timeout will end a loop that never lets the hub run, and so nobody but us.
            log_interrupted(name, frame)
            raise GreenletExit

    def _on_dump(self, _signum: int, frame: FrameType | None) -> None:
        if getcurrent() is not get_hub():
            # Code is running, perhaps for ever: show it from here, the greenlet below may never run.
            log_interrupted("SIGUSR1", frame)
        self._dump_asked.send()

    def _spawn_dump(self) -> None:
        gevent.spawn(log_everything, self.in_flight)
