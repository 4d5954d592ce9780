"""Adds jobs: python client.py JOB... [--endpoint HOST:PORT]"""

from __future__ import annotations

import argparse
import json
import urllib.request


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="+", metavar="JOB")
    parser.add_argument("--endpoint", default="localhost:9090")
    arguments = parser.parse_args()
    for job in arguments.jobs:
        with urllib.request.urlopen(f"http://{arguments.endpoint}/", job.encode()) as reply:
            print("queued:", json.load(reply)["queued"])


if __name__ == "__main__":
    main()
