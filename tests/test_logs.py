"""What is written to the log, where, and with which trace."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import types
import warnings
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from gevent import monkey
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as opentelemetry

from baseplate_serve._logs.formats import FIELDS, JsonFormatter, TextFormatter
from baseplate_serve._logs.setup import Output, configure
from baseplate_serve._logs.trace import (
    Trace,
    current_request_headers,
    current_trace,
    from_environ,
    from_theader,
    trace_of,
)
from baseplate_serve.errors import FileError

log = logging.getLogger("test_logs")

TRACE_32 = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_16 = "00f067aa0ba902b7"
PARENT = f"00-{TRACE_32}-{SPAN_16}-01"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """Whatever a test configures is undone: the runner's own handlers come back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = {
        name: (logger.handlers[:], logger.level, logger.disabled, logger.propagate)
        for name, logger in root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    logging.captureWarnings(capture=False)
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, (its_handlers, its_level, disabled, propagate) in loggers.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = its_handlers
        logger.setLevel(its_level)
        logger.disabled, logger.propagate = disabled, propagate


@pytest.fixture(autouse=True)
def no_request():
    token = current_request_headers.set(None)
    yield
    current_request_headers.reset(token)


def record_of(message="hello", *args, extra=None, exc_info=None):
    return log.makeRecord(
        "shop.cart", logging.WARNING, "/srv/cart.py", 7, message, args, exc_info, "buy", extra
    )


def raised(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


def as_json(*args, **kwargs):
    line = JsonFormatter().format(record_of(*args, **kwargs))
    assert line.isascii()
    assert line.splitlines() == [line]
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def as_text(*args, **kwargs):
    return TextFormatter().format(record_of(*args, **kwargs))


def lines_of(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# --- which trace -----------------------------------------------------------------------------------------

CARRIED = [
    pytest.param({"traceparent": PARENT}, Trace(TRACE_32, SPAN_16), id="w3c"),
    pytest.param(
        {"traceparent": f"cc-{TRACE_32}-{SPAN_16}-00"}, Trace(TRACE_32, SPAN_16), id="w3c-future-version"
    ),
    pytest.param(
        {"traceparent": f"cc-{TRACE_32}-{SPAN_16}-01-what-comes"},
        Trace(TRACE_32, SPAN_16),
        id="w3c-future-fields",
    ),
    pytest.param({"b3": f"{TRACE_32}-{SPAN_16}"}, Trace(TRACE_32, SPAN_16), id="b3-ids"),
    pytest.param({"b3": f"{TRACE_32}-{SPAN_16}-1-{SPAN_16}"}, Trace(TRACE_32, SPAN_16), id="b3-all-fields"),
    pytest.param({"b3": f"{SPAN_16}-{SPAN_16}-d"}, Trace(SPAN_16, SPAN_16), id="b3-64-bit"),
    pytest.param({"x-b3-traceid": TRACE_32, "x-b3-spanid": SPAN_16}, Trace(TRACE_32, SPAN_16), id="b3-multi"),
    pytest.param({"x-trace": "1234", "x-span": "2345"}, Trace("1234", "2345"), id="baseplate-http"),
    pytest.param({"trace": "1234", "span": "2345"}, Trace("1234", "2345"), id="baseplate-theader"),
    pytest.param(
        {"traceparent": PARENT, "b3": f"{SPAN_16}-{SPAN_16}", "trace": "1", "span": "2"},
        Trace(TRACE_32, SPAN_16),
        id="w3c-first",
    ),
    pytest.param(
        {"traceparent": "garbage", "b3": "0", "x-trace": "1", "x-span": "\n", "trace": "3", "span": "4"},
        Trace("3", "4"),
        id="the-first-that-is-well-formed",
    ),
]

NOT_CARRIED = [
    pytest.param({}, id="nothing"),
    pytest.param({"traceparent": ""}, id="w3c-empty"),
    pytest.param({"traceparent": f"ff-{TRACE_32}-{SPAN_16}-01"}, id="w3c-version-ff"),
    pytest.param({"traceparent": f"00-{TRACE_32}-{SPAN_16}-01-more"}, id="w3c-version-00-with-more"),
    pytest.param({"traceparent": f"cc-{TRACE_32}-{SPAN_16}-01.more"}, id="w3c-more-without-dash"),
    pytest.param({"traceparent": f"00-{'0' * 32}-{SPAN_16}-01"}, id="w3c-zero-trace"),
    pytest.param({"traceparent": f"00-{TRACE_32}-{'0' * 16}-01"}, id="w3c-zero-span"),
    pytest.param({"traceparent": f"00-{TRACE_32.upper()}-{SPAN_16}-01"}, id="w3c-upper-case"),
    pytest.param({"traceparent": f"00-{TRACE_32[1:]}-{SPAN_16}-01"}, id="w3c-short"),
    pytest.param({"traceparent": PARENT + "\n"}, id="w3c-line-feed"),
    pytest.param({"b3": "0"}, id="b3-not-sampled"),
    pytest.param({"b3": TRACE_32}, id="b3-no-span"),
    pytest.param({"b3": f"{TRACE_32}-{SPAN_16}x"}, id="b3-long"),
    pytest.param({"x-b3-traceid": TRACE_32}, id="no-span"),
    pytest.param({"span": "1"}, id="no-trace"),
    pytest.param({"trace": "1", "span": ""}, id="empty-span"),
    pytest.param({"trace": "1" * 65, "span": "2"}, id="too-long"),
    pytest.param({"trace": "1\nERROR all is lost", "span": "2"}, id="a-second-line"),
    pytest.param({"trace": "1\n", "span": "2"}, id="trailing-line-feed"),
    pytest.param({"trace": "\x1b[2J", "span": "2"}, id="terminal-escape"),
    pytest.param({"trace": "\u0661\u0662", "span": "2"}, id="digits-of-another-script"),
]


@pytest.mark.parametrize(("headers", "expected"), CARRIED)
def test_the_trace_is_read_from_the_headers_that_clients_send(headers, expected):
    assert trace_of(headers.get) == expected


@pytest.mark.parametrize("headers", NOT_CARRIED)
def test_a_header_that_is_not_well_formed_is_no_trace(headers):
    assert trace_of(headers.get) is None


@given(
    st.dictionaries(st.sampled_from(["traceparent", "b3", "x-trace", "x-span", "trace", "span"]), st.text())
)
def test_no_header_can_bring_anything_but_ids_into_the_log(headers):
    for part in trace_of(headers.get) or ():
        assert re.fullmatch(r"[0-9A-Za-z-]{1,64}", part)


def test_wsgi_headers_are_found_by_their_names():
    headers = from_environ({"HTTP_X_B3_TRACEID": "ab", "HTTP_X_B3_SPANID": "cd", "HTTP_B3": 7, "TRACE": "no"})
    assert trace_of(headers) == Trace("ab", "cd")
    assert headers("trace") is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({b"Trace": b"12", b"Span": b"34"}, Trace("12", "34"), id="as-baseplate-writes-them"),
        pytest.param({b"TRACE": b"12", b"span": b"34"}, Trace("12", "34"), id="any-case"),
        pytest.param({b"Trace": b"\xff\xfe", b"Span": b"34"}, None, id="not-text"),
        pytest.param({b"\xff": b"12"}, None, id="a-key-that-is-not-text"),
    ],
)
def test_theader_headers_are_found_in_any_case(headers, expected):
    assert trace_of(from_theader(headers)) == expected


def test_the_lookup_is_asked_anew_for_every_line():
    """It is set once per connection, which serves many requests."""
    headers = {}
    current_request_headers.set(headers.get)
    assert current_trace() is None
    headers |= {"trace": "1", "span": "2"}
    assert current_trace() == Trace("1", "2")
    headers |= {"trace": "3", "span": "4"}
    assert current_trace() == Trace("3", "4")


def test_opentelemetrys_span_comes_before_the_headers():
    current_request_headers.set({"trace": "1", "span": "2"}.get)
    context = opentelemetry.SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False)
    with opentelemetry.use_span(opentelemetry.NonRecordingSpan(context)):
        assert current_trace() == Trace("abc".zfill(32), "def".zfill(16))
    assert current_trace() == Trace("1", "2")


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(types.ModuleType("opentelemetry.trace"), id="half-imported"),
        pytest.param(None, id="import-forbidden"),
    ],
)
def test_an_opentelemetry_that_does_not_work_costs_nothing_but_its_ids(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
    current_request_headers.set({"trace": "1", "span": "2"}.get)
    assert current_trace() == Trace("1", "2")


def test_a_lookup_that_fails_does_not_fail_the_log_call():
    """An application logs in places where an exception would lose a customer's order."""

    def broken(name):
        raise OSError("the connection is gone")

    current_request_headers.set(broken)
    assert current_trace() is None
    assert as_json()["message"] == "hello"


def test_another_context_has_another_request():
    current_request_headers.set({"trace": "1", "span": "2"}.get)
    elsewhere = copy_context()
    elsewhere.run(current_request_headers.set, {"trace": "3", "span": "4"}.get)
    assert current_trace() == Trace("1", "2")
    assert elsewhere.run(current_trace) == Trace("3", "4")


# --- JSON ------------------------------------------------------------------------------------------------


def test_a_json_record_has_the_keys_that_baseplates_log_pipeline_knows():
    record = as_json("sold %d", 3)
    assert set(record) == {*FIELDS, "level", "timestamp"} - {"levelname"}
    assert record["message"] == "sold 3"
    assert record["level"] == "WARNING"
    assert (record["name"], record["funcName"], record["lineno"]) == ("shop.cart", "buy", 7)
    assert (record["module"], record["pathname"]) == ("cart", "/srv/cart.py")
    assert record["process"] == os.getpid()


def test_a_json_timestamp_is_in_utc():
    record = record_of()
    record.created = 1700000000.123
    assert json.loads(JsonFormatter().format(record))["timestamp"] == "2023-11-14T22:13:20.123Z"


def test_a_json_record_has_the_trace_of_its_request():
    current_request_headers.set({"traceparent": PARENT}.get)
    record = as_json(extra={"traceID": "forged"})
    assert (record["traceID"], record["spanID"]) == (TRACE_32, SPAN_16)


def test_an_exception_is_in_its_record():
    record = as_json(exc_info=raised(ValueError("no such card\nand more")))
    assert record["exc_info"].startswith("Traceback")
    assert record["exc_info"].endswith("ValueError: no such card\nand more")


def test_a_dict_is_merged_and_left_as_it_was():
    """As python-json-logger documents; its 2.0.7 also wrote the traceback into the caller's dict."""
    message = {"card": 7}
    record = as_json(message, exc_info=(ValueError, ValueError("x"), None))
    assert record["card"] == 7
    assert record["exc_info"] == "ValueError: x"
    assert message == {"card": 7}


class Unshowable:
    def __str__(self):
        raise RuntimeError("not even this")

    __repr__ = __str__


@dataclass
class Card:
    suit: str


CIRCLE: list = []
CIRCLE.append(CIRCLE)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]

EXTRAS = [
    pytest.param(datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00", id="datetime"),
    pytest.param(Decimal("1.5"), "1.5", id="decimal"),
    pytest.param(float("nan"), "nan", id="nan"),
    pytest.param([float("inf")], ["inf"], id="infinity"),
    pytest.param(10**30, 10**30, id="large-integer"),
    pytest.param(16**5000, hex(16**5000), id="integer-that-python-refuses-to-write"),
    pytest.param({1: {"a": (1, None, True)}}, {"1": {"a": [1, None, True]}}, id="nested"),
    pytest.param({(1, 2): 3}, {"(1, 2)": 3}, id="key-that-is-no-text"),
    pytest.param(
        {Unshowable(): 3}, {"<a Unshowable that cannot be shown>": 3}, id="key-that-cannot-be-shown"
    ),
    pytest.param("\ud800x\U0001f600", "\\ud800x\U0001f600", id="lone-surrogate"),
    pytest.param({"\udfff": 1}, {"\\udfff": 1}, id="lone-surrogate-in-a-key"),
    pytest.param(CIRCLE, ["..."], id="circle"),
]


@pytest.mark.parametrize(("value", "expected"), EXTRAS)
def test_any_extra_can_be_written(value, expected):
    assert as_json(extra={"given": value})["given"] == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Unshowable(), id="unshowable"),
        pytest.param([1, Unshowable()], id="unshowable-within"),
        pytest.param(Card("hearts"), id="dataclass"),
        pytest.param(b"\xff\n", id="bytes"),
        pytest.param({1, 2}, id="set"),
        pytest.param(object, id="class"),
        pytest.param(ValueError("x"), id="exception"),
        pytest.param(DEEP, id="deep"),
    ],
)
def test_what_cannot_be_written_well_is_written_somehow(value):
    assert as_json(extra={"given": value, "other": 1})["other"] == 1


def test_no_extra_has_a_name_that_loses_the_record():
    record = as_json(extra={Unshowable(): 1, 3: 4, "level": "gold", "timestamp": "never"})
    assert record["3"] == 4
    assert record["level"] == "WARNING"
    assert record["timestamp"].endswith("Z")


# A message's arguments that do not fit are a mistake, and the first thing its author looks for is the line.
MISFITS = [
    pytest.param(
        "sold %d", ("three",), "sold %d ('three',) (not formatted: TypeError('%d format", id="wrong-type"
    ),
    pytest.param(
        "sold %d", (1, 2), "sold %d (1, 2) (not formatted: TypeError('not all arguments", id="too-many"
    ),
    pytest.param("100%", (1,), "100% (1,) (not formatted: ValueError('incomplete format", id="percent"),
    pytest.param("%s", (Unshowable(),), "%s <a tuple that cannot be shown>", id="unshowable"),
    pytest.param(Unshowable(), (), "<a Unshowable that cannot be shown> ()", id="unshowable-message"),
]


@pytest.mark.parametrize(("message", "args", "beginning"), MISFITS)
@pytest.mark.parametrize(
    "exc_info", [None, (KeyError, KeyError("k"), None), (1, 2, 3)], ids=["", "error", "odd"]
)
def test_a_message_whose_arguments_do_not_fit_is_written_nevertheless(message, args, beginning, exc_info):
    assert as_json(message, *args, exc_info=exc_info)["message"].startswith(beginning)
    assert f" WARNING  shop.cart: {beginning}" in as_text(message, *args, exc_info=exc_info)


TEXT = st.text(st.characters(codec=None), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary() | st.dates() | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers())
    ),
    max_leaves=6,
)
NAMES = TEXT.filter(lambda name: name not in vars(record_of()) and name not in {"message", "asctime"})


@given(
    message=TEXT | VALUES, args=st.lists(VALUES, max_size=2), extra=st.dictionaries(NAMES, VALUES, max_size=3)
)
def test_any_record_is_one_line_of_json(message, args, extra):
    """Log pipelines drop what does not parse, and split what a line feed splits."""
    record = as_json(message, *args, extra=extra)
    json.dumps(record, ensure_ascii=False).encode()  # no lone surrogates: other parsers refuse them
    assert record["level"] == "WARNING"


# --- text ------------------------------------------------------------------------------------------------


def test_a_line_for_people_has_time_level_logger_message_and_trace():
    current_request_headers.set({"trace": "12", "span": "34"}.get)
    line = as_text("sold %d", 3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING  shop\.cart: sold 3 trace=12 span=34", line
    )


def test_outside_a_request_there_is_no_trace():
    assert as_text().endswith("shop.cart: hello")
    assert "traceID" not in as_json()


def test_a_traceback_follows_its_line():
    current_request_headers.set({"trace": "12", "span": "34"}.get)
    first, second, *_, last = as_text(exc_info=raised(ValueError("\x1b[2J"))).splitlines()
    assert first.endswith("hello trace=12 span=34")
    assert second == "Traceback (most recent call last):"
    assert last == r"ValueError: \x1b[2J"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param("\x1b]0;owned\x07", r"\x1b]0;owned\x07", id="terminal-title"),
        pytest.param("a\rb\x00\x7f", r"a\rb\x00\x7f", id="carriage-return-nul-del"),
        pytest.param("\x9b2J", r"\x9b2J", id="c1"),
        pytest.param("\u202etxt", r"\u202etxt", id="right-to-left-override"),
        pytest.param("\ud800", r"\ud800", id="lone-surrogate"),
        pytest.param("a\tb\nc é \U0001f600", "a\tb\nc é \U0001f600", id="what-people-write"),
    ],
)
def test_what_drives_a_terminal_is_shown_instead(message, shown):
    """A client chooses its path and its user agent; an operator's terminal should not obey it."""
    assert as_text("%s", message).endswith(f"shop.cart: {shown}")


# --- where it goes ---------------------------------------------------------------------------------------


def test_a_terminal_gets_text_and_anything_else_gets_json():
    terminal, pipe = Terminal(), io.StringIO()
    configure(debug=False, stream=terminal)
    log.info("hello")
    configure(debug=False, stream=pipe)
    log.info("hello")
    assert terminal.getvalue().endswith("INFO     test_logs: hello\n")
    assert [line["message"] for line in lines_of(pipe)] == ["hello"]


def test_standard_output_is_looked_up_when_it_is_configured(capsys):
    configure(debug=False)
    log.info("hello")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["message"] == "hello"
    assert captured.err == ""


@pytest.mark.parametrize(("debug", "seen"), [(False, ["info"]), (True, ["debug", "info"])], ids=["", "debug"])
def test_debug_lines_are_written_when_asked_for(debug, seen):
    stream = io.StringIO()
    configure(debug=debug, stream=stream)
    log.debug("debug")
    log.info("info")
    assert [line["message"] for line in lines_of(stream)] == seen


def test_configuring_again_replaces_our_handler_and_nobody_elses():
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    first, second = io.StringIO(), io.StringIO()
    configure(debug=True, stream=first)
    configure(debug=False, stream=second)
    log.info("once")
    assert first.getvalue() == ""
    assert len(lines_of(second)) == 1
    assert theirs in logging.getLogger().handlers


def test_warnings_are_log_records():
    stream = io.StringIO()
    with warnings.catch_warnings():
        configure(debug=True, stream=stream)
        for _ in range(2):  # 'always': the second one is not taken for known
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [(line["name"], line["level"]) for line in lines_of(stream)] == [("py.warnings", "WARNING")] * 2
    assert "DeprecationWarning: old" in lines_of(stream)[0]["message"]


def test_a_terminal_that_is_not_utf8_shows_escapes():
    class Latin(io.TextIOWrapper):
        def isatty(self):
            return True

    stream = Latin(io.BytesIO(), encoding="latin-1", newline="")
    configure(debug=False, stream=stream)
    log.info("é \u20ac")
    assert stream.buffer.getvalue().endswith(b"test_logs: \xe9 \\u20ac\n")


# --- standard output that does not work ------------------------------------------------------------------


@pytest.fixture
def broken_pipe():
    reading, writing = os.pipe()
    monkey.get_original("os", "close")(reading)  # gevent's closes after the next poll, which never comes here
    stream = os.fdopen(writing, "w")
    yield stream
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_pipe_without_reader_is_reported_once(broken_pipe, capsys):
    configure(debug=False, stream=broken_pipe)
    for number in range(1000):
        log.info("line %d", number)
    assert capsys.readouterr().err == "baseplate-serve: log lines are lost: [Errno 32] Broken pipe\n"


def test_a_closed_stream_is_reported_once(capsys):
    stream = io.StringIO()
    stream.close()
    configure(debug=False, stream=stream)
    log.info("one")
    log.info("two")
    assert capsys.readouterr().err == "baseplate-serve: log lines are lost: I/O operation on closed file\n"


def test_logging_goes_on_when_the_disk_has_room_again(capsys):
    class Disk(io.StringIO):
        full = False

        def flush(self):
            if self.full:
                raise OSError(28, "No space left on device")

    stream = Disk()
    configure(debug=False, stream=stream)
    for full in (True, True, False, True):
        stream.full = full
        log.info("full: %s", full)
    assert "full: False" in [line["message"] for line in lines_of(stream)]
    assert capsys.readouterr().err.count("log lines are lost") == 2


def test_without_standard_output_nothing_is_written(monkeypatch, capsys):
    """A process can be started with it closed: `baseplate-serve app.ini >&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    configure(debug=False)
    log.warning("hello")
    assert capsys.readouterr().err == ""


def test_a_broken_pipe_does_not_change_the_exit_status():
    """Python returns 120 if it cannot flush standard output: supervisors would see a crash."""
    script = """
import logging, sys
from baseplate_serve._logs.setup import configure
configure(debug=False)
sys.stdin.readline()
logging.info("nobody reads this")
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        complaint = process.stderr.read()
    assert complaint == b"baseplate-serve: log lines are lost: [Errno 32] Broken pipe\n"
    assert process.returncode == 0


def test_a_formatter_that_somebody_put_on_our_handler_may_fail(capsys):
    configure(debug=False, stream=io.StringIO())
    (ours,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, Output)]
    ours.setFormatter(logging.Formatter("%(nonesuch)s"))
    log.info("hello")
    assert "Formatting field not found" in capsys.readouterr().err


# --- the file's [loggers] --------------------------------------------------------------------------------

FILE = """
[server:main]
factory = baseplate.server.thrift
[app:main]
factory = my_app:make
rate = 50%
path = ${HOME}/$USER %(nonesuch)s

[loggers]
keys = root, quiet
[handlers]
keys = file
[formatters]
keys = short
[logger_root]
level = WARNING
handlers = file
[logger_quiet]
qualname = quiet
level = ERROR
handlers =
[handler_file]
class = FileHandler
args = ('LOGFILE', 'w', 'utf-8', True)
formatter = short
[formatter_short]
format = café %(levelname)s %(message)s
"""


@pytest.fixture
def ini(tmp_path):
    def write(*changes):
        text = FILE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "app.ini").write_text(text.replace("LOGFILE", str(tmp_path / "log")), encoding="utf-8")
        return str(tmp_path / "app.ini")

    return write


def test_the_file_overrides_handlers_levels_and_formats(ini, tmp_path):
    stream = io.StringIO()
    configure(debug=True, stream=stream, filename=ini())
    log.info("too low")
    log.warning("hello")
    logging.getLogger("quiet").warning("too low")
    assert stream.getvalue() == ""
    assert (tmp_path / "log").read_text(encoding="utf-8") == "café WARNING hello\n"


def test_loggers_that_the_file_does_not_name_are_not_silenced(ini, tmp_path):
    """The server's own lines, 'draining' and what was cut off, belong into the file's log."""
    existing = logging.getLogger("baseplate_serve")
    configure(debug=False, stream=io.StringIO(), filename=ini())
    existing.warning("draining")
    assert "draining" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_logger_without_a_format_of_ours_keeps_percent_signs_literal(ini, tmp_path):
    configure(debug=False, stream=io.StringIO(), filename=ini(("%(message)s", "100%% $HOME %(message)s")))
    log.warning("hello")
    assert (tmp_path / "log").read_text(encoding="utf-8") == "café WARNING 100% $HOME hello\n"


BROKEN = [
    pytest.param("[handlers]\nkeys = file", "", "[handlers] there is no such section", id="no-handlers"),
    pytest.param("keys = file", "", "[handlers] keys is missing", id="no-keys"),
    pytest.param("keys = file", "keys = flie", "[handler_flie] there is no such section", id="no-handler"),
    pytest.param("keys = root, quiet", "keys = quiet", "[loggers] keys must name root", id="no-root"),
    pytest.param(
        "handlers = file", "handlers = flie", "[logger_root] 'flie' is not among the keys", id="unlisted"
    ),
    pytest.param(
        "formatter = short", "formatter = x", "[handler_file] 'x' is not among the keys", id="formatter"
    ),
    pytest.param("qualname = quiet", "", "[logger_quiet] qualname is missing", id="no-qualname"),
    pytest.param("level = WARNING", "level = LOUD", "[logger_root] Unknown level: 'LOUD'", id="level"),
    pytest.param("FileHandler", "a.b.C", "[handler_file] ModuleNotFoundError: No module", id="class"),
    pytest.param("'w', ", "'w' 7", "[handler_file] SyntaxError: ", id="arguments"),
    pytest.param(
        "'LOGFILE', 'w', 'utf-8', True",
        "'/nonesuch/log',",
        "[handler_file] [Errno 2] No such file or directory",
        id="path",
    ),
    pytest.param(
        "level = ERROR", "level = 5%", "[logger_quiet] InterpolationSyntaxError: '%' must", id="percent"
    ),
]


@pytest.mark.parametrize(("old", "new", "problem"), BROKEN)
def test_a_broken_logging_section_is_one_line_that_says_where(ini, old, new, problem):
    filename = ini((old, new))
    with pytest.raises(FileError) as caught:
        configure(debug=False, stream=io.StringIO(), filename=filename)
    assert str(caught.value).startswith(f"{filename}: {problem}")
    assert "\n" not in str(caught.value)
