"""`python -m emulator`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from emulator.cli import main

        sys.exit(main())
    except KeyboardInterrupt:
        # While it is being imported.
        sys.exit(130)
