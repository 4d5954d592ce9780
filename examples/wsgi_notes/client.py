"""Adds a note and lists them all: python client.py NOTE [--endpoint HOST:PORT]"""

from __future__ import annotations

import argparse
import json
from urllib.request import urlopen


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("note")
    parser.add_argument("--endpoint", default="localhost:9090")
    arguments = parser.parse_args()

    notes = f"http://{arguments.endpoint}/notes"
    with urlopen(notes, data=arguments.note.encode()) as reply:
        print(f"{json.load(reply)['notes']} notes:")
    with urlopen(notes) as reply:
        for note in json.load(reply):
            print(f"- {note}")


if __name__ == "__main__":
    main()
