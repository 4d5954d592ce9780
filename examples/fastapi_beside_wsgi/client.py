"""Asks for prices, all at once: python client.py NAME... [--endpoint HOST:PORT]"""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--endpoint", default="localhost:9090")
    arguments = parser.parse_args()
    with ThreadPoolExecutor() as pool:
        for line in pool.map(lambda name: ask(arguments.endpoint, name), arguments.names):
            print(line)


def ask(endpoint, name):
    try:
        with urllib.request.urlopen(f"http://{endpoint}/prices/{name}") as reply:
            price = json.load(reply)
    except urllib.error.HTTPError as error:
        return f"{name}: {json.load(error)['detail']}"
    return f"{name}: {price['price']} {price['currency']}"


if __name__ == "__main__":
    main()
