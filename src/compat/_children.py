"""Child processes: who tells the loop that one has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gevent import subprocess as gevent_subprocess

from compat._asyncio import SelectorEventLoop, UnixSubprocessTransport

if TYPE_CHECKING:
    from gevent.hub import Hub

_GeventPopen: Any = gevent_subprocess.Popen
UNKNOWN_STATUS = 255  # what asyncio reports when somebody else has reaped the child


class Children(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where a loop starts child processes.

    asyncio's own watchers wait in a thread, which in a patched process is a greenlet, or on a pidfd, whose
    status gevent reaps before it.  So: what gevent started (in a patched process `subprocess.Popen` is its
    own) gevent watches; other children have a watcher of the hub, or in other threads than the main one a
    pidfd.
    """

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

        def exited(status: int) -> None:
            if not self.is_closed():
                # One turn later: by then what the child wrote last has been seen.
                self.call_soon_threadsafe(self.call_soon, transport._process_exited, status)

        if isinstance(process, _GeventPopen):
            process.result.rawlink(lambda result: exited(result.value))
        elif self._hub_loop.default:
            self._hub_loop.install_sigchld()
            watcher = self._hub_loop.child(process.pid)

            def reaped(watcher: Any) -> None:
                watcher.stop()
                watcher.close()
                exited(os.waitstatus_to_exitcode(watcher.rstatus))

            watcher.start(reaped, watcher)
        else:
            self._watch_pidfd(process.pid, exited)

    def _watch_pidfd(self, pid: int, exited: Any) -> None:
        descriptor = os.pidfd_open(pid)

        def ended() -> None:
            self.remove_reader(descriptor)
            os.close(descriptor)
            try:
                _, status = os.waitpid(pid, 0)
            except ChildProcessError:
                exited(UNKNOWN_STATUS)
            else:
                exited(os.waitstatus_to_exitcode(status))

        self.add_reader(descriptor, ended)
