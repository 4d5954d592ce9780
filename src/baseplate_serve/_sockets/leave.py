"""How a listener that shares its port is left without losing a connection.

With SO_REUSEPORT the kernel gives each listener a queue of its own.  Closing one resets whatever waits
in its queue, and handshakes that are half done, although the other workers would gladly take them.  So
first make the listener deaf to new handshakes (a client sends its SYN again a second later, and by then
the port belongs to the others alone), let those under way end, accept all there is, then close.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Any

# linux/filter.h: each instruction is (code, jump if true, jump if false, constant).  A filter on a TCP
# socket sees the segment from its TCP header on; the flags are its byte 13, SYN is bit 1 of them.
_LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_JUMP_IF_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_DROP_SYN = (
    (_LOAD_BYTE, 0, 0, 13),
    (_JUMP_IF_SET, 0, 1, 0x02),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the socket module has no name for it

HANDSHAKE_S = 0.1  # how long a handshake under way may take: a round trip between data centres


def refuse_handshakes(listener: Any) -> bool:
    """Make *listener* ignore new handshakes; False where the kernel has no socket filters.

    Only for a listener whose descriptor no other process holds: the filter belongs to the socket.
    """
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    instructions = ctypes.create_string_buffer(program)
    sock_fprog = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(instructions))  # native alignment
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, sock_fprog)
    except OSError:
        # No filters here (a sandbox, not Linux): the listener closes as any other server's does, and
        # the few connections that were in its queue are reset.
        return False
    return True
