"""`python -m topgraft_adapter`."""

import sys

from topgraft_adapter.cli import main

sys.exit(main())
