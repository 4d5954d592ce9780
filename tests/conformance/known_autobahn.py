"""What of Autobahn's fuzzing client is run, and what of it doesn't hold for our server, with the reason."""

from known_cpython import Known

# 12 and 13 are of permessage-deflate, which isn't offered.
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]

BEFORE_A_FAULT = (
    "a message right before a fault is not answered where both arrive at once: the application, a task, is "
    "told of the close when it would answer.  RFC 6455 §7.1.7 leaves it open"
)

# Cases that don't go as the suite wants it.  One that does is an error.
KNOWN: list[Known] = []

# Cases that go as the suite wants it or, with the suite's leave, 'non-strict', as the bytes arrive.
EITHER = [
    Known(case, BEFORE_A_FAULT)
    for case in ("3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15")
]
