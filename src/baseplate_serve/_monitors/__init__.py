"""What the server tells about itself, each in a file; ``monitoring.*`` switches those that Baseplate has.

monitor.py           what a monitor is
monitors.py          runs them: once a second for Prometheus, every ten for Baseplate's metrics client
choose.py            which of them the settings ask for
requests.py          requests, bytes, refusals, the phase: always
lag.py               how late the hub is: always
coroutines.py        the asyncio loop: always, where there is one
concurrency.py       monitoring.concurrency
connection_pool.py   monitoring.connection_pool
blocked_hub.py       monitoring.blocked_hub
gc_stats.py          monitoring.gc.stats
gc_timing.py         monitoring.gc.timing
refcycle.py          monitoring.gc.refcycle
"""
