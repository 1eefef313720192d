"""The web demo for hosts that look for this file; the same as ``lostreg demo``."""

import sys

from lostreg.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
