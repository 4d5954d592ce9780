"""Life and death of the process: its phases, its connections, its signals, its stop.

phase.py        the one table of phases; knows no sockets, signals or clocks
connections.py  who is connected and what is in flight, in one place
lifecycle.py    the phase this process is in, and the wait for the next event
signals.py      signals become events
forked.py       what ends in a child that a handler forks
tally.py        what requests add to on their way
watch.py        clients that have been waited for too long
dump.py         SIGUSR1: where everything is
"""
