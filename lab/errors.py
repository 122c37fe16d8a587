"""What can go wrong in the lab, as one exception with a sentence for people."""


class LabError(Exception):
    """A host of the lab could not be started, reached or changed."""
