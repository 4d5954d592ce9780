"""What is kept of one message for the next ones."""

from __future__ import annotations

from typing import TypeVar

REMEMBERED_MAX = 1024
LONGEST = 64  # characters or bytes; what clients and applications use again and again is shorter

Text = TypeVar("Text", str, bytes)
Found = TypeVar("Found")


def remember(known: dict[Text, Found], text: Text, found: Found) -> None:
    """Keep what was *found* about *text* in *known*.

    Whoever connects may send any text, and must neither fill the memory nor take the place of what others
    send: long ones aren't kept, and when there are too many, all are forgotten, and those in use come again.
    """
    if len(text) <= LONGEST:
        if len(known) >= REMEMBERED_MAX:
            known.clear()
        known[text] = found
