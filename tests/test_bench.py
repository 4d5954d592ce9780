"""What measures us works, and what it says agrees with what it has measured.  Nothing here is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import goals
import instructions
import page
import wrk
from compare import Table
from contestant import LoadFailed

BENCH = Path(__file__).parents[1] / "bench"

CIRCUMSTANCES = "2026-01-02, a machine: `make bench ARGS='http --rounds 3 --seconds 2'`; others had 0%"
COLUMNS = ("", "CPU µs a request", "ratio", "k requests/s", "ratio")


def run(*words):
    """A process of its own: here the standard library is patched."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=BENCH,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_contestant_is_started_loaded_and_stopped():
    script = """
from thrift_bench import KERNEL_LIMIT, OURS, contestant
from thrift_calls import CALLS, FRAMINGS
from thrift_load import calls

load = calls(CALLS["a void call"], FRAMINGS["header"], 4)
for name in (OURS, KERNEL_LIMIT):
    with contestant(name, load, "a void call", "header") as server:
        measured = server.load(0.2)
        print(measured.requests > 0, measured.elapsed_s > 0, server.rss_kb() > 1000)
    print(server._process.poll() is not None)
"""
    done = run("-c", script)
    assert done.stdout.split() == ["True"] * 8, done.stderr


def test_only_what_there_is_can_be_asked_for():
    done = run("run.py", "--only", "no such table")
    assert done.returncode == 2
    assert "no such table" in done.stderr or "only core" in done.stderr


def shown(*rows, title=goals.HELLO, columns=COLUMNS):
    return page.tables(f"{CIRCUMSTANCES}\n\n{page.markdown(Table(title, columns, list(rows)))}")


def test_a_table_is_read_as_it_was_written():
    [(title, table)] = shown(
        ("ours", "13.8", "5.55", "72.7", "5.61"), ("other", "did not start", "", "", "")
    ).items()
    assert title == goals.HELLO
    assert table.measured == "2026-01-02, 3 x 2 s"
    assert table.number("ours", 2) == 5.55
    with pytest.raises(ValueError, match="float"):
        table.number("other", 2)


def test_goals_are_reached_missed_or_not_measured():
    hello = [goal for goal in goals.GOALS if goal.title == goals.HELLO]
    tables = shown(
        (goals.http_bench.PYWSGI, "77.0", "1.00", "13.0", "1.00"),
        (goals.http_bench.OURS, "11.0", "7.00", "91.0", "7.10"),
        (goals.http_bench.UVICORN_FAST, "10.0", "7.70", "92.0", "7.10"),
    )
    rows = goals.table(tables).rows
    assert [row[2:] for row in rows[: len(hello)]] == [
        ("7.00", "7.10", "reached", "2026-01-02, 3 x 2 s"),
        ("0.91", "1.00", "missed", "2026-01-02, 3 x 2 s"),
        ("", "", "not measured", ""),
    ]
    assert {row[4] for row in rows[len(hello) :]} == {"not measured"}


def test_every_goal_is_about_something_that_is_measured():
    """A server or a table that is renamed would silently be measured no more."""
    servers = {*goals.http_bench.SERVERS, *goals.thrift_bench.SERVERS}
    servers |= {contestant.name for contestant in goals.asgi_bench.contestants()}
    servers |= {name for name, _, _ in goals.monitors.MONITORED}
    for goal in goals.GOALS:
        assert goal.ours in servers
        assert isinstance(goal, goals.Beside) or goal.theirs in servers


def test_the_pages_goals_say_what_its_tables_say():
    text = page.PAGE.read_text()
    assert page.markdown(goals.table(page.tables(text))) in text


WRK = """\
  2 threads and 32 connections
  {errors}
  {requests} requests in 3.01s, 1.00MB read
{status}Requests/sec:    {rate}
"""


def test_wrks_own_rate_is_used():
    text = WRK.format(errors="", requests=300, status="", rate="100.50")
    assert wrk.replies(text, closes=False) == (300, 100.5)


@pytest.mark.parametrize(
    ("errors", "status", "closes", "fine"),
    [
        pytest.param(
            "Socket errors: connect 0, read 300, write 0, timeout 0", "", True, True, id="closed ones"
        ),
        pytest.param(
            "Socket errors: connect 0, read 301, write 0, timeout 0", "", True, False, id="too many"
        ),
        pytest.param(
            "Socket errors: connect 0, read 1, write 0, timeout 0", "", False, False, id="kept alive"
        ),
        pytest.param("Socket errors: connect 1, read 0, write 0, timeout 0", "", True, False, id="refused"),
        pytest.param("", "Non-2xx or 3xx responses: 3\n", True, False, id="another status"),
    ],
)
def test_errors_that_wrk_counts_are_failures(errors, status, closes, fine):
    text = WRK.format(errors=errors, requests=300, status=status, rate="100.50")
    if fine:
        assert wrk.replies(text, closes=closes)[0] == 300
    else:
        with pytest.raises(LoadFailed):
            wrk.replies(text, closes=closes)


def test_instructions_are_compared_with_the_committed_ones():
    committed = {"instructions": {"HTTP": 1000}, "versions": {"gevent": "26.1", "thrift": "0.25"}}
    same = {"gevent": "26.1", "thrift": "0.25"}
    text = "HTTP: 1,010 instructions a request, committed 1,000: +1.0%"
    assert instructions.line("HTTP", 1010, committed, same) == text
    assert instructions.line("HTTP", 1010, committed, {**same, "gevent": "27"}) == f"{text} (of gevent 26.1)"
    assert instructions.line("HTTP", 1010, {}, same).endswith("; none committed for this Python")
