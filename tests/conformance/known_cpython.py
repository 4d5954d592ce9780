"""What of CPython's own tests doesn't hold for our loop, with the reason and the Pythons concerned."""

from typing import NamedTuple

EVERY = ("3.11", "3.12", "3.13", "3.14")


class Known(NamedTuple):
    test: str
    reason: str
    pythons: tuple[str, ...] = EVERY


PYTHON_VERSIONS = (
    "replaces asyncio's running-loop functions by their Python versions; the loop holds the real ones"
)
MANAGER = (
    "multiprocessing.Manager reads a descriptor that gevent made non-blocking: fails without our loop, too"
)
FORKSERVER = (
    "multiprocessing's fork server closes a pipe, which gevent's os.close puts off, and then waits natively "
    "for the server to notice: fails without our loop, too"
)
OWN_WATCHER = "asserts that asyncio's child watcher is asked; gevent watches children in our loop"

# Tests that fail.  One that passes is an error.
KNOWN = [
    Known("test_events.TestCGetEventLoop.test_get_event_loop_new_process", FORKSERVER, ("3.12", "3.13")),
    Known("test_events.TestPyGetEventLoop.test_get_event_loop_new_process", FORKSERVER, ("3.12", "3.13")),
    Known("test_events.TestPyGetEventLoop.test_get_event_loop_returns_running_loop", PYTHON_VERSIONS),
    Known(
        "test_events.TestPyGetEventLoop.test_get_event_loop_returns_running_loop2",
        PYTHON_VERSIONS,
        ("3.11", "3.12", "3.13"),
    ),
    Known("test_unix_events.TestFork.test_fork_asyncio_run", MANAGER, ("3.12", "3.13")),
    Known("test_unix_events.TestFork.test_fork_asyncio_subprocess", MANAGER, ("3.12", "3.13")),
    Known("test_unix_events.TestFork.test_fork_signal_handling", MANAGER, ("3.12", "3.13")),
    Known(
        "test_subprocess.GenericWatcherTests.test_create_subprocess_fails_with_inactive_watcher",
        OWN_WATCHER,
        ("3.11", "3.12", "3.13"),
    ),
    Known(
        "test_subprocess.GenericWatcherTests.test_create_subprocess_with_pidfd", OWN_WATCHER, ("3.12", "3.13")
    ),
]

# Classes that aren't run.
LEFT_OUT = [
    Known(
        "test_subprocess.SubprocessFastWatcherTests",
        "FastChildWatcher takes any child by waitpid(-1), gevent's too: who is first gets the status",
        ("3.11", "3.12", "3.13"),
    ),
]

# Modules that never make a loop of the kind whose place ours takes: nothing would be tested.
NO_LOOP = [
    Known("test_futures", "on loops that are mocks"),
    Known("test_pep492", "on loops that are mocks"),
    Known("test_runners", "on a policy and loops of its own", ("3.11", "3.12")),
]
