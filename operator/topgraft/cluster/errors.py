"""What can go wrong between the operator and the API server, in the operator's own words."""

from __future__ import annotations


class ClusterError(Exception):
    """Any answer but success. `text` is the API server's own message."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Refused(ClusterError):
    """The API server will not take this object as it is: quota, admission, validation, missing permission."""


class NotOwned(Refused):
    """An object of this name exists and belongs to somebody else."""


class Conflict(ClusterError):
    """The object changed (or appeared) since it was read."""


class Stale(ClusterError):
    """The live object carries a newer decision than the one that this write was planned on."""


class Gone(ClusterError):
    """No such object, namespace or kind."""


class Expired(ClusterError):
    """A list's continue token or resourceVersion is too old: list again from the start."""


class Unavailable(ClusterError):
    """No usable answer: overload, server error, lost connection. `retry_after` is the server's wish in seconds."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NotLeading(ClusterError):
    """This process may not write (any more): it does not hold the Lease."""
