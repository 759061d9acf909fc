"""`make retune`."""

import sys

from softprompt.endings import exit_status
from softprompt.quiet import keep_quiet


def main() -> int:
    """The exit status: 1 where params.yaml is not valid or the default was not run."""
    keep_quiet()
    return exit_status(_retune)


def _retune() -> None:
    from softprompt.retuning.experiment import retune  # takes time, in which nobody would see to signals

    retune()


if __name__ == "__main__":
    sys.exit(main())
