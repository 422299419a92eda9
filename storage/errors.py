"""Errors that a person reads: one plain sentence that says what is wrong and what to do next."""


class RankloopError(Exception):
    """Report something that a person can mend; `str(error)` is the whole message they see."""


class BadInput(RankloopError):
    """Refuse what was given: it named a file, line or field, and nothing was changed."""


class NotAllowed(RankloopError):
    """Refuse an action that the account's role does not permit."""


class NotFound(RankloopError):
    """Say that something named does not exist."""


class Conflict(RankloopError):
    """Refuse an action because the state it needs has passed (for example a task already full)."""


class Unavailable(RankloopError):
    """Say that a resource (database, folder, port, checkpoint) cannot be used as it is."""
