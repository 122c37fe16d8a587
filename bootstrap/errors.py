"""The one exception that ends a command with a sentence instead of a traceback."""


class BootstrapError(Exception):
    """Something the person at the keyboard can act on; the message says what and how."""
