"""Commands for the tests of `nws.spread_jobs`."""

import sys
import textwrap


def serving(body: str) -> list[str]:
    """A worker whose `compute(x)` has this body; `state` is a dict of its own, `sys`, `os` and the module are there."""
    program = "import os, sys, time\nfrom nws.spread_jobs import *\nstate = {}\ndef compute(x):\n"
    return [sys.executable, "-c", program + textwrap.indent(textwrap.dedent(body), "    ") + "\nserve(compute)\n"]


def script(body: str) -> list[str]:
    """A Python program that speaks for itself."""
    return [sys.executable, "-c", "import os, pickle, sys, time\n" + textwrap.dedent(body)]


SQUARES = serving("return x * x")
