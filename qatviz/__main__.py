"""``python -m qatviz``."""

import sys

from qatviz.cli import main

if __name__ == "__main__":
    sys.exit(main())
