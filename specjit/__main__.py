"""`python -m specjit` is the `specjit` command."""

import sys

from specjit.cli import main

if __name__ == "__main__":
    sys.exit(main())
