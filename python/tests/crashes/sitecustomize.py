"""Holds a worker that is about to join. Python imports this at its start, as the test puts its folder on the path."""

import os
import sys

if os.environ.get("NWS_TEST_STAGE") == "joining" and "nws._worker" in " ".join(sys.orig_argv):
    from gate import hold

    hold(os.environ["NWS_TEST_FOLDER"], "joining")
