"""``baseplate-healthcheck``: ask a service whether it is healthy; exit 0 if it is, 1 if not.

Made for probes that run every few seconds: no gevent, and thrift or http.client only when one is asked for.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from baseplate_serve._settings.command_line import OneLineParser
from baseplate_serve._sockets.client import Tls, UnresolvedError, connect
from baseplate_serve.config import Endpoint, TimespanWithLegacyFallback
from baseplate_serve.errors import ServeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from baseplate_serve.config import EndpointConfiguration

PROBES: Final = {"liveness": 2, "readiness": 1, "startup": 3}  # health.thrift, without importing thrift
LONGEST: Final = timedelta(days=1)  # poll(2) counts milliseconds in an int: 24 days are too many
EXCERPT: Final = 200  # characters of a reply that are worth showing in one line

# What Thrift's codecs, in C and in Python, raise on bytes that are no message; struct.error on a short frame.
_DECODING_ERRORS = (OverflowError, TypeError, ValueError, LookupError, EOFError, MemoryError, struct.error)


class CheckFailedError(ServeError):
    """The service is not healthy, or nobody can tell; the text says which."""


# --- the checks ------------------------------------------------------------------------------------------


def check_thrift(endpoint: EndpointConfiguration, probe: int, deadline: float, tls: Tls | None) -> None:
    """Call ``is_healthy`` in the header protocol.  Raises `CheckFailedError`, and OSError."""
    from thrift.protocol.THeaderProtocol import THeaderProtocolFactory  # noqa: PLC0415 (not for HTTP checks)
    from thrift.protocol.TProtocol import TProtocolException  # noqa: PLC0415
    from thrift.Thrift import TApplicationException  # noqa: PLC0415
    from thrift.transport.TSocket import TSocket  # noqa: PLC0415
    from thrift.transport.TTransport import TTransportException  # noqa: PLC0415

    from baseplate_serve.health import BaseplateServiceV2  # noqa: PLC0415
    from baseplate_serve.health.ttypes import IsHealthyRequest  # noqa: PLC0415

    with connect(endpoint, deadline, tls) as connection:
        transport = TSocket()
        transport.setHandle(connection)  # TSocket's own open() logs a second line, and waits per operation
        protocol = THeaderProtocolFactory().getProtocol(transport)
        client: Any = BaseplateServiceV2.Client(protocol)  # type: ignore[no-untyped-call] # generated
        request = IsHealthyRequest(probe=probe)  # type: ignore[no-untyped-call] # generated
        try:
            healthy = client.is_healthy(request)
        except TApplicationException as error:
            hint = ""
            if error.type == TApplicationException.UNKNOWN_METHOD:
                hint = " (does the service extend BaseplateServiceV2 of health.thrift?)"
            raise CheckFailedError(f"it answered with an error: {error}{hint}") from error
        except TTransportException as error:
            if isinstance(error.__context__, OSError):  # versions of thrift differ in whether they keep it
                raise error.__context__ from None
            if error.type == TTransportException.END_OF_FILE:
                raise CheckFailedError(
                    "it closed the connection before a complete reply; is it a Thrift service?"
                ) from error
            raise CheckFailedError(f"its reply is not in Thrift's header protocol: {error}") from error
        except (TProtocolException, *_DECODING_ERRORS) as error:
            raise CheckFailedError(f"its reply is not in Thrift's header protocol: {error}") from error
    if not healthy:
        raise CheckFailedError("it answered that it is unhealthy")


def check_wsgi(endpoint: EndpointConfiguration, probe: int, deadline: float, tls: Tls | None) -> None:
    """``GET /health``: a 2xx status and a JSON body.  Raises `CheckFailedError`, and OSError."""
    from http.client import HTTPConnection, HTTPException, RemoteDisconnected  # noqa: PLC0415 (imports email)

    if isinstance(endpoint.address, str):
        client = HTTPConnection("localhost")  # a name for the Host header only
    else:
        client = HTTPConnection(endpoint.address.host or "localhost", endpoint.address.port)
    with connect(endpoint, deadline, tls) as client.sock:
        try:
            # By number, as Baseplate's own command asks; its Pyramid integration reads numbers and names.
            client.request(
                "GET",
                f"/health?type={probe}",
                headers={"Accept": "*/*", "Connection": "close", "User-Agent": "baseplate-healthcheck"},
            )
            response = client.getresponse()
            body = response.read()
        except RemoteDisconnected as error:
            raise CheckFailedError(
                "it closed the connection without a reply; is it an HTTP service?"
            ) from error
        except HTTPException as error:
            raise CheckFailedError(f"its reply is not HTTP: {error!r}") from error
    if not 200 <= response.status < 300:
        excerpt = body.decode(errors="replace")[:EXCERPT]
        raise CheckFailedError(f"HTTP status {response.status} {response.reason}: {excerpt}".rstrip(": \r\n"))
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        excerpt = body.decode(errors="replace")[:EXCERPT]
        raise CheckFailedError(f"HTTP status {response.status}, but no JSON: {excerpt!r}") from error


CHECKS: Final[dict[str, Callable[[EndpointConfiguration, int, float, Tls | None], None]]] = {
    "thrift": check_thrift,
    "wsgi": check_wsgi,
}


# --- the command -----------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run one check and say in one line how it went: 0 healthy, 1 not.

    Raises SystemExit(2) when the command line is wrong, and SystemExit(0) after ``--help``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.certificate is not None and not args.tls:
        parser.error("--certificate is for --tls")
    tls = Tls(args.certificate, args.key) if args.tls else None
    deadline = time.monotonic() + args.timeout.total_seconds()
    try:
        CHECKS[args.kind](args.endpoint, PROBES[args.probe], deadline, tls)
    except (CheckFailedError, UnresolvedError, OSError) as error:
        who = f"baseplate-healthcheck: {args.kind} service at {args.endpoint}, {args.probe}"
        print(_one_line(f"{who}: {_reason(error, args.timeout)}"), file=sys.stderr)
        return CheckFailedError.exit_status
    print("OK!")
    return 0


def run_healthchecks() -> None:
    """The command under the name that Baseplate's own script calls.  Raises SystemExit."""
    sys.exit(main())


def _reason(error: Exception, timeout: timedelta) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:  # ours; the kernel's own has an errno
        return f"no complete reply within {timeout.total_seconds():g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def _one_line(text: str) -> str:
    """*text* without line feeds and control characters: part of it was written by the service."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="baseplate-healthcheck",
        description="Ask a service whether it is healthy.",
        epilog="Exit status: 0 healthy, 1 not healthy or not to be reached, 2 wrong usage.",
    )
    parser.add_argument("kind", choices=list(CHECKS), metavar="{thrift,wsgi}", help="what the service speaks")
    parser.add_argument(
        "endpoint",
        nargs="?",
        type=_endpoint,
        default="localhost:9090",
        metavar="ENDPOINT",
        help="host:port, [::1]:port, or the path of a unix socket (default: %(default)s)",
    )
    parser.add_argument(
        "--probe", choices=list(PROBES), default="readiness", help="what to ask (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=_timeout,
        default="30",
        metavar="SECONDS",
        help="for the whole check; '500 milliseconds' is understood too (default: %(default)s)",
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help="the service does TLS; its certificate is not verified, as a probe has no name for it",
    )
    parser.add_argument("--certificate", metavar="PEM", help="what to show a service that asks for one")
    parser.add_argument("--key", metavar="PEM", help="its private key (default: in the same file)")
    return parser


def _endpoint(text: str) -> EndpointConfiguration:
    try:
        return Endpoint(text)
    except ValueError as error:  # argparse would drop its text
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _timeout(text: str) -> timedelta:
    try:
        timeout = TimespanWithLegacyFallback(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    if not timedelta() < timeout <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r}: expected more than 0 seconds, and at most a day")
    return timeout


if __name__ == "__main__":
    run_healthchecks()
