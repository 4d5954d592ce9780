"""The entry point of ``baseplate-serve`` and of ``python -m baseplate_serve``."""

from __future__ import annotations

import sys

from baseplate_serve._command.arguments import parse_arguments
from baseplate_serve._command.streams import occupy_standard_streams


def main() -> int:
    """Run the command; returns its exit status."""
    occupy_standard_streams()
    arguments = parse_arguments()
    if arguments.reload and not arguments.check:
        from baseplate_serve._command.reload import supervise  # noqa: PLC0415 (a process without gevent)

        return supervise(arguments)
    # First of all: what is imported from here on may keep a socket, a lock or a thread.
    from baseplate_serve._command.patch import patch  # noqa: PLC0415

    patch()
    from baseplate_serve._command.serve import run  # noqa: PLC0415 (after patching)

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
