"""What the operator wrote: the INI file and the options of its server section.

ini.py       reads the file; expands ``$NAME``
options.py   every option of the server section, declared once
"""
