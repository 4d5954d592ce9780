"""HTTP over a connection: gevent's pywsgi, tracked and logged.

handler.py    what every connection's handler does besides what pywsgi's or the application's does
server.py     pywsgi's server with it
"""
