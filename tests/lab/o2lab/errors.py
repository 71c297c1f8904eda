"""What can go wrong in a lab. Each text says what was tried, on what."""


class LabError(Exception):
    """The lab could not do it."""

    status = 1


class NodeDown(LabError):
    """The node is off, or does not answer."""

    status = 125


class OverTime(LabError):
    """A wait reached its bound."""

    status = 124
