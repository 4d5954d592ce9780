"""What of anyio's own tests doesn't hold for our loop, with the reason and the Pythons concerned.

As of anyio 4.16.  A test is listed with its parameters, or without, for all of them.
"""

from known_cpython import Known

SOCKET_TYPE = (
    "gevent's sockets tell a plain int for their type, and anyio takes its name: fails without our loop, too"
)

# Tests that fail.  One that passes is an error.
KNOWN = [
    Known(
        "streams/test_tls.py::TestTLSStream::test_ragged_eofs[asyncio+gevent-server_standard]",
        "expects that unwrap() fails in a server that the client left; gevent's does not: fails without "
        "our loop, too",
    ),
    *(
        Known(f"test_sockets.py::{kind}::test_from_socket_wrong_socket_type", SOCKET_TYPE)
        for kind in (
            "TestTCPStream",
            "TestUNIXStream",
            "TestUDPSocket",
            "TestConnectedUDPSocket",
            "TestUNIXDatagramSocket",
            "TestConnectedUNIXDatagramSocket",
        )
    ),
    Known(
        "test_to_thread.py::test_asyncio_worker_reused_after_cancelled_call",
        "sets an attribute of a queue.Queue, and a patched one is written in C: fails without our loop, too",
    ),
]

# Tests that aren't run.
LEFT_OUT = [
    Known(
        "test_from_thread.py::TestRunAsyncFromThread::test_run_sync_from_thread_pooling",
        "counts threading's threads; for a greenlet that asks for its own gevent makes one more, without our "
        "loop, too: passes or fails by who has asked before",
    ),
    Known("test_lazyimport.py::test_sourceless_install", "installs anyio from the Internet"),
    Known("test_sockets.py::test_getaddrinfo", "asks the Internet for a name"),
    *(
        Known(
            f"test_sockets.py::TestUDPSocketBackpressure::{test}",
            "asyncio's datagram transport of Python 3.13.0 counts eight bytes more for a datagram that it "
            "queues than for one that it sends, and so never resumes: fails without our loop and gevent, too",
            ("3.13",),
        )
        for test in (
            "test_send_waits_for_the_os_to_accept_the_datagram",
            "test_cancelled_send_does_not_buffer_the_next_datagram",
        )
    ),
]
