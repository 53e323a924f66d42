"""A worker of a search: ``python -m tfcompress.search FILE``, as `WorkerPool` starts it."""

import sys
from pathlib import Path

from tfcompress.search.workers import work_until_ended

if __name__ == "__main__":
    work_until_ended(Path(sys.argv[1]))
