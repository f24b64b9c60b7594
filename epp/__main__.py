"""Start the command line: `python -m epp` is `epp`."""

from __future__ import annotations

from epp.cli.main import main

if __name__ == "__main__":
    main()
