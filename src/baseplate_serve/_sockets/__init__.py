"""Listening sockets: where they come from, and how they are left.

einhorn.py   from Einhorn, by its environment; its ACK
systemd.py   from systemd, by its environment; its notifications
bind.py      bound here
leave.py     how a listener that shares its port is left without losing a connection
acquire.py   which of these it is
names.py     addresses as people write them
shut.py      how a client's connection is ended from outside its greenlet
"""
