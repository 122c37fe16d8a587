"""The host agent: samples its host and the guests on it, and sends what it saw to the backend.

It needs Python 3.11 and nothing else, and imports by relative names, so that the same files are a package of the
repository and one of a bare host.
"""

VERSION = "0.1.0"
