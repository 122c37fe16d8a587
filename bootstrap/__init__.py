"""From a bare Debian machine to a running control plane, with the standard library alone.

This package runs before the virtual environment exists, so it imports nothing that is not in Python
itself. It is called as ``python3 -m bootstrap <command>``; the Makefile has a target for every command.
"""
