"""How a record is written: text for a terminal, one JSON object a line for everything else.

Whatever stands in a record came, in the end, from somebody else, so both formats keep it harmless: bytes
that drive a terminal are shown as escapes, and a JSON record is exactly one line that parses.
"""

from __future__ import annotations

import json
import logging
import math
import re
import traceback
from datetime import UTC, datetime
from typing import Any

try:
    from pythonjsonlogger import json as library  # 3 and later
except ImportError:
    from pythonjsonlogger import jsonlogger as library  # type: ignore[no-redef]  # 2.0.7, which baseplate pins

from baseplate_serve._logs.trace import current_trace

# Baseplate's keys (docs/api/baseplate/observers/logging.rst), which log pipelines know.
FIELDS = (
    "levelname", "message", "funcName", "lineno", "module", "name",
    "pathname", "process", "processName", "thread", "threadName",
)  # fmt: skip

# What logging itself sets on a record; all else was given as `extra`.  Not the library's list, which lacks
# Python 3.12's taskName in 2.0.7.
OWN_ATTRIBUTES = (*vars(logging.makeLogRecord({})), "asctime", "message", "taskName")

# All controls but tab and line feed (C0, DEL, C1), line separators, what turns the direction of text, and
# surrogates, which no encoding takes.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

MAX_DEPTH = 32  # of nested extras
MAX_INT_BITS = 2048  # Python refuses to write integers of a few thousand digits: CVE-2020-10735


class TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, message and, while a request is served, its trace."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        line = super().formatMessage(record)
        trace = current_trace()
        return f"{line} trace={trace.trace_id} span={trace.span_id}" if trace else line

    def format(self, record: logging.LogRecord) -> str:
        try:
            text = super().format(record)
        except Exception as error:  # noqa: BLE001 (arguments that do not fit: see as_written)
            text = super().format(as_written(record, error))
        return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class JsonFormatter(library.JsonFormatter):
    """One JSON object, in ASCII, with FIELDS, `timestamp`, the trace, and what was given as `extra`.

    An extra cannot take the name of one of these keys.
    """

    def __init__(self) -> None:
        super().__init__(" ".join(f"%({field})s" for field in FIELDS), reserved_attrs=OWN_ATTRIBUTES)

    def format(self, record: logging.LogRecord) -> str:
        try:
            if isinstance(record.msg, dict):  # 2.0.7 writes into the caller's dict
                record = _changed(record, msg=dict(record.msg))
            return super().format(record)
        except Exception as error:  # noqa: BLE001 (arguments that do not fit: see as_written)
            return super().format(as_written(record, error))

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        created = datetime.fromtimestamp(record.created, UTC)
        log_data["timestamp"] = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data["level"] = log_data.pop("levelname", record.levelname)
        if trace := current_trace():
            log_data["traceID"] = trace.trace_id
            log_data["spanID"] = trace.span_id

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        return _encode(_plain(log_data))


def as_written(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """*record*, which could not be formatted because of *error*, as one that can be.

    A message whose arguments do not fit is a mistake that should not lose what was to be said.
    """
    message = f"{_shown(record.msg)} {_shown(record.args)} (not formatted: {_shown(error)})"
    return _changed(record, msg=message, args=None, exc_info=None, exc_text=_exception(record.exc_info))


def _changed(record: logging.LogRecord, **changes: Any) -> logging.LogRecord:
    # Not logging.makeLogRecord, which calls the application's record factory once more.
    other = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, "", None, None)
    other.__dict__.update(record.__dict__ | changes)
    return other


def _exception(exc_info: Any) -> str | None:
    try:
        return "".join(traceback.format_exception(*exc_info)).rstrip("\n") if exc_info else None
    except Exception:  # noqa: BLE001 (it was given by the caller, and may be anything)
        return _shown(exc_info)


def _shown(value: object) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 (an application's own __repr__)
        return f"<a {type(value).__name__} that cannot be shown>"


def _plain(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """*value* in types that every JSON parser reads back; *inside* are the ids of what it stands in."""
    plain = value
    if isinstance(value, str):
        plain = _whole(value)
    elif isinstance(value, int):
        plain = value if value.bit_length() <= MAX_INT_BITS else hex(value)
    elif isinstance(value, float):
        plain = value if math.isfinite(value) else str(value)  # NaN is no JSON
    elif value is not None:
        plain = _plain_object(value, inside)
    return plain


def _plain_object(value: Any, inside: tuple[int, ...]) -> Any:
    if id(value) in inside or len(inside) > MAX_DEPTH:
        return "..."
    inside = (*inside, id(value))
    try:
        # Copies: another greenlet may change the container while the __str__ of something in it switches.
        if isinstance(value, dict):
            return {_key(key): _plain(item, inside) for key, item in list(value.items())}
        if isinstance(value, list | tuple):
            return [_plain(item, inside) for item in list(value)]
        return _plain(_library_encoder.default(value), inside)
    except Exception:  # noqa: BLE001 (an application's own __str__, __iter__, ...: the line is worth more)
        return f"<a {type(value).__name__} that cannot be shown>"


_encode = json.JSONEncoder(allow_nan=False).encode
_library_encoder = library.JsonEncoder()  # dates, exceptions, classes, and str() of the rest


def _key(key: object) -> str:
    return _whole(key if isinstance(key, str) else _shown(key))


def _whole(text: str) -> str:
    """*text* with lone surrogates written out: JSON could hold them, but most parsers refuse."""
    return text if text.isascii() else str.encode(text, "utf-8", "backslashreplace").decode()
