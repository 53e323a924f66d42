"""A worker of a search: ``python -m tfcompress.search FILE``, as `WorkerPool` starts it."""

import sys
from pathlib import Path

from tfcompress.unneeded_imports import leave_out

if __name__ == "__main__":
    leave_out()
    from tfcompress.search.workers import work_until_ended

    work_until_ended(Path(sys.argv[1]))
