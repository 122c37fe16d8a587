"""The host agent. Where it is installed, this directory is on the path, so its package is ``cloudsite_agent``."""
