"""The one error a user is meant to read: what is wrong, where, and how to mend it."""


class UserError(Exception):
    """Bad input or settings: the message names file, row or key, and the fix. Stages print it without a traceback."""


class NotFiniteError(UserError):
    """What a backbone says is no number: nothing was answered, whatever stands first."""
