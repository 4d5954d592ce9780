"""The command ``baseplate-serve``.

patch.py       what must happen before anything else is imported
arguments.py   the command line
serve.py       the composition root: the one place that knows everybody
check.py       --check
report.py      errors, as an operator reads them
application.py the application and the server that the file names
streams.py     standard streams that a supervisor closed
leave.py       the end of the process, whoever would hold it
watch.py       which files --reload watches
reload.py      --reload: a parent that holds the port and watches files
"""
