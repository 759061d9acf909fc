"""The one error a user is meant to read: what is wrong, where, and how to mend it."""


class UserError(Exception):
    """Bad input or settings. The message names the file, row or key, and the fix; stages print it without a
    traceback.
    """
