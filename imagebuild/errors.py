"""What can go wrong while building an image, as one exception with a sentence for people."""


class BuildError(Exception):
    """The image could not be built; the message says what failed and what to look at."""
