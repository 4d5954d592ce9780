"""The codes that a WebSocket closes with: RFC 6455 §7.4, and what IANA has registered since."""

from __future__ import annotations

from typing import Any

NORMAL = 1000
NO_STATUS = 1005  # the client closed without a code; not sent
ABNORMAL = 1006  # it has gone without a word; not sent
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012


def close_code(code: Any) -> int:
    """An application's *code*.  wsproto sends 1000 for those that are not sent.  Raises: ValueError."""
    if code is None:
        return NORMAL
    if isinstance(code, int) and (1000 <= code <= 1015 or 3000 <= code <= 4999) and code != 1004:
        return code
    raise ValueError(f"no close code: {code!r} (RFC 6455 §7.4)")
