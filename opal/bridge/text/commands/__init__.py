"""What ``opal text ...`` does, a module a command: flags in, a JSON-able result and a table out.

Importing a command is cheap; everything heavy waits inside its functions.
"""
