"""``python -m lostreg`` is the command line."""

import sys

from lostreg.cli import main

sys.exit(main())
