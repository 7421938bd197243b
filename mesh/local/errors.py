"""The one error of this package."""


class LocalError(Exception):
    """Something a person has to put right.

    `str(error)` is the whole message for a terminal: what is wrong, where, and what to do. It never needs a traceback.
    """
