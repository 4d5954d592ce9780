"""What the operator wrote: the INI file and the options of its server section.

ini.py            reads the file; expands ``$NAME``
options.py        every option of the server section, declared once
objects.py        what names in the file lead to
command_line.py   what both commands' parsers share
"""
