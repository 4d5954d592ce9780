"""Slots: names for metrics files that outlive the workers that hold them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from baseplate_serve._metrics.slot import forget_the_dead, take_slot, wanted_slot
from baseplate_serve.errors import UsageError

EINHORN = {"EINHORN_CHILD_INDEX": "3", "MULTIPROCESS_WORKER_ID": "seven"}


@pytest.mark.parametrize(
    ("environ", "einhorn_worker", "wanted"),
    [
        pytest.param({}, False, None, id="nothing"),
        pytest.param({}, True, None, id="an Einhorn that sets no index"),
        pytest.param(EINHORN, True, "3", id="Einhorn's index first"),
        pytest.param(EINHORN, False, "seven", id="a grandchild of Einhorn has no index"),
        pytest.param({"MULTIPROCESS_WORKER_ID": "a" * 64}, False, "a" * 64, id="the longest"),
        pytest.param(
            {"MULTIPROCESS_WORKER_ID": "web-6d4cf56db6-x2x9z"}, True, "web-6d4cf56db6-x2x9z", id="a pod"
        ),
    ],
)
def test_which_slot_is_wanted(environ, einhorn_worker, wanted):
    assert wanted_slot(environ, einhorn_worker=einhorn_worker) == wanted


@pytest.mark.parametrize("variable", ["EINHORN_CHILD_INDEX", "MULTIPROCESS_WORKER_ID"])
@pytest.mark.parametrize("name", ["", "../0", "a_b", "0.1", "*", "a" * 65, "0\n", "é"])
def test_a_name_that_no_file_can_have_is_an_error_that_names_the_variable(variable, name):
    with pytest.raises(UsageError) as caught:
        wanted_slot({variable: name}, einhorn_worker=True)
    assert str(caught.value) == f"{variable} = {name!r}: expected 1 to 64 letters, digits and hyphens"


@pytest.fixture
def take(tmp_path):
    """take_slot in a directory of the test; what was taken is released after it."""
    taken = []

    def take(wanted=None):
        taken.append(take_slot(tmp_path, wanted))
        return taken[-1]

    yield take
    for slot in taken:
        slot.release()


def test_without_a_wish_the_lowest_free_number_is_taken(take):
    first, second, third = take(), take(), take()
    assert [first.name(), second.name(), third.name()] == ["0", "1", "2"]
    second.release()
    assert take().name() == "1"


def test_who_wants_a_slot_that_is_held_gets_one_beside_it(take):
    """In a rolling restart the old worker drains while the new one serves."""
    old, new, newer = take("0"), take("0"), take("0")
    assert [old.name(), new.name(), newer.name()] == ["0", "0-1", "0-2"]
    old.release()
    assert take("0").name() == "0"


def test_a_slot_is_released_once(take):
    slot = take("a")
    slot.release()
    assert take("a").name() == "a"
    slot.release()
    assert take("a").name() == "a-1"


LIVE = ["gauge_liveall_0.db", "gauge_livesum_0.db", "gauge_livemostrecent_0.db"]
LASTING = ["counter_0.db", "histogram_0.db", "summary_0.db", "gauge_sum_0.db", "gauge_max_0.db"]
OTHERS = ["gauge_livesum_0-1.db", "gauge_livesum_00.db", "gauge_all_1.db", "gauge_livesum_4711.db"]


@pytest.fixture
def files(tmp_path):
    """Which files there are; a holder of slot 0 and others left them."""
    for name in [*LIVE, *LASTING, *OTHERS, "gauge_all_0.db"]:
        (tmp_path / name).touch()
    return lambda: {path.name for path in tmp_path.glob("*.db")}


def test_who_takes_a_slot_inherits_its_totals_not_its_gauges(take, files):
    """'In progress' must not go on from what a killed worker had in progress."""
    take("0")
    assert files() == {*LASTING, *OTHERS}


def test_who_retires_takes_its_live_gauges_back_and_keeps_the_name(take, files, tmp_path):
    slot = take("0")
    for name in LIVE:
        (tmp_path / name).touch()
    slot.retire()
    slot.retire()
    assert files() == {*LASTING, *OTHERS}
    assert take("0").name() == "0-1"


def test_the_dead_are_forgotten_and_the_living_are_not(take, files, tmp_path):
    for dead in (take("0"), take("00")):
        dead.release()
    living = take("0-1")
    for name in [*LIVE, "gauge_livesum_0-1.db"]:
        (tmp_path / name).touch()
    forget_the_dead(tmp_path)
    assert living.name() == "0-1"
    # 4711 is a pid: its worker knows no slots, and whether it lives is not ours to say.
    assert files() == {*LASTING, "gauge_livesum_0-1.db", "gauge_all_1.db", "gauge_livesum_4711.db"}


def test_a_look_for_the_dead_leaves_their_slots_free(take, tmp_path):
    take("0").release()
    forget_the_dead(tmp_path)
    assert take("0").name() == "0"


HOLDER = """
import sys
from pathlib import Path
from baseplate_serve._metrics.slot import take_slot
print("ready", flush=True)
sys.stdin.readline()
slot = take_slot(Path(sys.argv[1]), sys.argv[2])
print(slot.name(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that runs *script* on the test's directory; it is killed after the test."""
    processes = []

    def start(script, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", script, tmp_path, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def tell(process, line=""):
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process):
    return process.stdout.readline().rstrip("\n")


@pytest.mark.process
def test_processes_that_want_the_same_slot_at_once_get_different_ones(start):
    processes = [start(HOLDER, "0") for _ in range(4)]
    assert [hear(process) for process in processes] == ["ready"] * 4
    for process in processes:
        tell(process)
    assert {hear(process) for process in processes} == {"0", "0-1", "0-2", "0-3"}


@pytest.mark.process
def test_a_killed_process_holds_its_slot_no_longer(start, take, files, tmp_path):
    process = start(HOLDER, "0")
    tell(process)
    assert [hear(process), hear(process)] == ["ready", "0"]
    (tmp_path / "gauge_livesum_0.db").touch()
    forget_the_dead(tmp_path)
    assert "gauge_livesum_0.db" in files()

    process.kill()
    process.wait()
    forget_the_dead(tmp_path)
    assert "gauge_livesum_0.db" not in files()
    assert take("0").name() == "0"


FORKER = """
import os, sys
from pathlib import Path
from baseplate_serve._metrics.slot import take_slot
slot = take_slot(Path(sys.argv[1]), "0")
to_child, from_parent = os.pipe()
child = os.fork()
if child == 0:
    os.close(from_parent)
    for line in os.fdopen(to_child):   # until the parent is gone
        print(slot.name(), flush=True)
    sys.stdin.readline()
    print(slot.name(), flush=True)
    sys.stdin.readline()
    os._exit(0)
print(child, slot.name(), flush=True)
for line in sys.stdin:
    os.write(from_parent, b"name?\\n")
"""


@pytest.mark.process
def test_a_forked_child_neither_holds_the_slot_nor_writes_its_files(start, take):
    """A helper process that the application forked may outlive the worker by days."""
    process = start(FORKER)
    _, name = hear(process).split()
    assert name == "0"
    assert take("0").name() == "0-1"
    process.kill()
    process.wait()
    tell(process)
    assert hear(process) == "0"  # the child asks for the first time, and the slot is free
    assert take("0").name() == "0-2"  # held by the child now, in its own right


@pytest.mark.process
def test_a_forked_child_has_a_slot_of_its_own(start, take):
    process = start(FORKER)
    _, name = hear(process).split()
    tell(process)
    assert (name, hear(process)) == ("0", "0-1")
    assert take("0").name() == "0-2"
    process.kill()
    process.wait()
    tell(process)
    assert hear(process) == "0-1"
    assert take("0").name() == "0"


def test_a_directory_that_is_gone_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        take_slot(tmp_path / "gone", None)
