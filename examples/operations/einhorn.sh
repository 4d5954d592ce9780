#!/bin/sh
# Einhorn in front of four workers that share its listener.
#
#     kill -HUP "$(cat /run/notes/einhorn.pid)"      # replace them all: a successor is up before one leaves
#
# -m manual: a worker counts as up when it says so, which is when it serves.
export PROXIES=127.0.0.1 METRICS_ENDPOINT=127.0.0.1:6060
export PROMETHEUS_MULTIPROC_DIR=/run/notes-metrics
rm -rf "$PROMETHEUS_MULTIPROC_DIR" && mkdir -p "$PROMETHEUS_MULTIPROC_DIR" || exit
exec einhorn -m manual -n 4 -b 0.0.0.0:9090 -d /run/notes/einhorn.sock -e /run/notes/einhorn.pid \
    baseplate-serve app.ini
