"""`python -m softprompt.tracking ADDRESS`: links into MLflow's pages, one a question."""

import sys
from pathlib import Path

from softprompt.endings import exit_status
from softprompt.quiet import keep_quiet

if __name__ == "__main__":
    keep_quiet()
    from softprompt.tracking import STORE
    from softprompt.tracking.views import links

    sys.exit(exit_status(lambda: sys.stdout.write(links(Path(STORE), sys.argv[1]) + "\n")))
