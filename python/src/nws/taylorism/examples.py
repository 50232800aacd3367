"""A simple example: workers that wait a while, each as long as its instructions say, and report.

`python -m nws.taylorism.examples` runs it. It is a module of its own, as whoever imports it has its class of workers.
"""

import time
from typing import Any

from nws.taylorism import Worker, batch_main

__all__ = ["Sleeper", "main"]


class Sleeper(Worker):
    """Waits `seconds`, and tells what it `says`."""

    seconds: float
    says: str = "Good morning"

    def _task(self, **_: Any) -> str:
        time.sleep(self.seconds)
        return f"{self.says} after {self.seconds} s"


def main() -> None:
    """Have three of them work side by side, and print what they report."""
    batch_main({"says": "Awake"}, {"seconds": [0.03, 0.02, 0.01]})


if __name__ == "__main__":
    main()
