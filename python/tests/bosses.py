"""What tests of `nws.taylorism` ask of a Boss."""

import os

from leftovers import wait_until


def reports(boss):
    """The reports of a Boss that has done all its work, in order."""
    boss.wait_till_finished()
    report = boss.get_report()
    assert report["status"] == "finished"
    return sorted(one["report"] for one in report["workers_report"])


class Gate:
    """Workers that have begun, and go on when they are told to."""

    def __init__(self, folder, count=1):
        self.begun = [str(folder / f"begun {number}") for number in range(count)]
        self.gates = [str(folder / f"gate {number}") for number in range(count)]
        for gate in self.gates:
            os.mkfifo(gate)

    @property
    def instructions(self):
        return {"begun": self.begun, "gate": self.gates}

    def wait(self, number=0):
        wait_until(lambda: os.path.exists(self.begun[number]), f"worker {number} has begun")

    def open(self, number=0, text=""):
        with open(self.gates[number], "w") as gate:
            gate.write(text)

    def has_begun(self, number):
        return os.path.exists(self.begun[number])

    def was_unwound(self, number=0):
        return os.path.exists(self.begun[number] + ".ended")


def pid_of(boss):
    """The id of the Boss's process, which its host tells soon after its start."""
    wait_until(lambda: boss._office.pid is not None, "the host has told the id of the Boss's process")
    return boss._office.pid


def workers_of(boss):
    """The processes whose parent is the Boss."""
    pid = pid_of(boss)
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(pid) for pid in file.read().split()]
