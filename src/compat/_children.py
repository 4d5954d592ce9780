"""Child processes: who tells the loop that one has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gevent import monkey
from gevent import subprocess as gevent_subprocess

from compat._asyncio import SelectorEventLoop, UnixSubprocessTransport, logger
from compat._handles import NO_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gevent.hub import Hub

_GeventPopen: Any = gevent_subprocess.Popen
_close = monkey.get_original("os", "close")  # gevent's is put off until after the next poll
UNKNOWN_STATUS = 255  # what asyncio reports when somebody else has reaped the child
REAPED_S = 1.0  # gevent knows of an ended child within a turn, unless somebody else's waitpid(-1) took it


class Children(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where a loop starts child processes.

    asyncio's own watchers wait in a thread, which in a patched process is a greenlet, or on a pidfd, whose
    status gevent reaps before it.  So: what gevent started (in a patched process `subprocess.Popen` is its
    own) gevent watches; other children have a watcher of the hub, or in other threads than the main one a
    pidfd.  Code that waits for any child at all (asyncio's FastChildWatcher) may take one from gevent: the
    loop notices, and reports the status that asyncio reports then.
    """

    __slots__ = NO_SLOTS

    _hub: Hub
    _hub_loop: Any

    async def _make_subprocess_transport(  # noqa: PLR0913, PLR0917 (asyncio's signature)
        self,
        protocol: Any,
        args: Any,
        shell: bool,  # noqa: FBT001 (likewise)
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: Any = None,
        **kwargs: Any,
    ) -> Any:
        waiter = self.create_future()
        transport = UnixSubprocessTransport(
            self, protocol, args, shell, stdin, stdout, stderr, bufsize, waiter=waiter, extra=extra, **kwargs
        )
        self._watch_child(transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        return transport

    def _watch_child(self, transport: Any) -> None:
        process: Any = transport._proc
        pid: int = process.pid

        def exited(status: int) -> None:
            if not self.is_closed():
                # One turn later: by then what the child wrote last has been seen.
                self.call_soon_threadsafe(self.call_soon, transport._process_exited, status)

        def unless_reaped() -> None:
            if process.result.ready():
                return
            try:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                process.result.set(_unknown_status(pid))
            else:
                self.call_later(REAPED_S, unless_reaped)

        if isinstance(process, _GeventPopen):
            process.result.rawlink(lambda result: exited(result.value))
            self._when_ended(pid, lambda: self.call_later(REAPED_S, unless_reaped))
        elif self._hub_loop.default:
            self._hub_loop.install_sigchld()
            watcher = self._hub_loop.child(pid)

            def reaped(watcher: Any) -> None:
                watcher.stop()
                watcher.close()
                exited(os.waitstatus_to_exitcode(watcher.rstatus))

            watcher.start(reaped, watcher)
        else:
            self._when_ended(pid, lambda: exited(_reap(pid)))

    def _when_ended(self, pid: int, callback: Callable[[], Any]) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:  # reaped by now
            callback()
            return

        def ended() -> None:
            self.remove_reader(descriptor)
            _close(descriptor)
            callback()

        self.add_reader(descriptor, ended)


def _reap(pid: int) -> int:
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return _unknown_status(pid)
    return os.waitstatus_to_exitcode(status)


def _unknown_status(pid: int) -> int:
    logger.warning("child %d was reaped by somebody else: its status reads %d", pid, UNKNOWN_STATUS)
    return UNKNOWN_STATUS
