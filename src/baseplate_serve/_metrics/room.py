"""Files of metrics that a full disk does not turn into the death of their writer.

prometheus_client makes its files as long as it likes, which costs no room, and writes to them through memory:
where the disk is full, the kernel can but kill the process (SIGBUS).  So room is taken beforehand.  Where
there is none, the metrics go on in memory, where only this process sees them.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

log = logging.getLogger("baseplate_serve.metrics")

FIRST = 64 * 1024  # bytes of a new file: prometheus_client's number
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class RoomyFile(MmapedDict):
    """The file *filename*, with room for all that is written to it.  Switches: no."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:  # noqa: FBT001, FBT002 (theirs)
        self._name = filename
        if not read_mode:
            with open(filename, "ab") as file:
                size = os.fstat(file.fileno()).st_size
                if not self._take(file.fileno(), size or FIRST):
                    with open(filename, "rb") as written:
                        path = _in_memory(written.read())
                    if size == 0:
                        os.unlink(filename)  # one without a beginning fails every scrape
                    filename = path
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call] # its library's are

    def _init_value(self, key: str) -> None:
        """Called before a value is written for the first time."""
        wanted = self._used + len(key.encode()) + 64  # more than what surrounds it
        capacity: int = self._capacity
        while capacity < wanted:
            capacity *= 2
        if capacity > self._capacity and not self._take(self._f.fileno(), capacity):
            self._leave_disk()
        super()._init_value(key)  # type: ignore[no-untyped-call] # likewise

    def _take(self, fd: int, size: int) -> bool:
        """Make sure of the first *size* bytes; False if there is no room for them."""
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            if error.errno not in NO_ROOM:
                return True  # a file system that cannot do it: as good as it was
            log.error("%s: %s; what this process counts is not shown any more", self._name, error.strerror)  # noqa: TRY400 (its text says it all)
            return False
        return True

    def _leave_disk(self) -> None:
        old: Any = self._f
        self._f = open(_in_memory(self._m[:]), "a+b")  # noqa: SIM115 (as long as it writes)
        self._m = mmap.mmap(self._f.fileno(), self._capacity)
        old.close()


def _in_memory(content: bytes) -> str:
    """The path of a file that no disk has.  It lives as long as this process, as few others do."""
    fd = os.memfd_create("metrics")
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    return f"/proc/self/fd/{fd}"
