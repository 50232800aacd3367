"""Tasks for commands: the rate and the master's processor time against a thread for each, and what faults cost."""

from __future__ import annotations

import pickle
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nws.spread_jobs import main
from row import Row

ROUNDS = 5
TASKS = 20_000
WORKERS = 4
FAULT_ROUNDS = 3
FAULT_TASKS = 1000
LENGTH_S = 0.005
ALLOWED = 1.3
PROCESSOR_SHARE = 4

# The same worker for both sides, as the protocol has it.
ECHO = """
import pickle, sys
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
try:
    while True:
        pickle.dump((pickle.load(stdin) + 1, None, None), stdout, pickle.HIGHEST_PROTOCOL)
        stdout.flush()
except EOFError:
    pass
"""

MOODY = f"""
import os, time
from nws.spread_jobs import TooBusy, serve
count = 0
def compute(x):
    global count
    count += 1
    MOOD
    time.sleep({LENGTH_S})
    return x * x
serve(compute)
"""
HEALTHY = [sys.executable, "-c", MOODY.replace("MOOD", "pass")]
BUSY = [sys.executable, "-c", MOODY.replace("MOOD", "if count % 10: raise TooBusy(0.01)")]
DYING = [sys.executable, "-c", MOODY.replace("MOOD", "if count == 50: os.kill(os.getpid(), 9)")]


def threads(todo: range, list_of_args: list[list[str]]) -> list[int]:
    """The scheme that the older module documents: a thread for each connection, pickles over its pipes, two queues."""
    tasks: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()

    def work(args: list[str]) -> None:
        with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            while (item := tasks.get()) is not None:
                index, task = item
                pickle.dump(task, process.stdin, pickle.HIGHEST_PROTOCOL)
                process.stdin.flush()
                answers.put((index, pickle.load(process.stdout)[0]))
            process.stdin.close()

    for item in enumerate(todo):
        tasks.put(item)
    for _ in list_of_args:
        tasks.put(None)
    workers = [threading.Thread(target=work, args=(args,)) for args in list_of_args]
    for worker in workers:
        worker.start()
    results = [0] * len(todo)
    for _ in todo:
        index, result = answers.get()
        results[index] = result
    for worker in workers:
        worker.join()
    return results


def spread(todo: range, list_of_args: list[list[str]]) -> list[int]:
    """Ours."""
    return main(todo, list_of_args, past_performance=None)[0]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, without what the starting and ending of its commands cost."""

    rate: float
    cpu_us: float


def cost(run: Callable[[range, list[list[str]]], list[int]]) -> Cost:
    """Of many tasks, less that of a few; the processor time is this process's own."""
    measured = []
    for tasks in (TASKS // 10, TASKS):
        began, cpu = time.monotonic(), time.process_time()
        results = run(range(tasks), [[sys.executable, "-c", ECHO]] * WORKERS)
        measured.append((time.monotonic() - began, time.process_time() - cpu))
        assert results == list(range(1, tasks + 1))
    (few_s, few_cpu), (all_s, all_cpu) = measured
    more = TASKS - TASKS // 10
    return Cost(more / (all_s - few_s), 1e6 * (all_cpu - few_cpu) / more)


def faults_s(commands: list[list[str]]) -> float:
    """How long the tasks take."""
    began = time.monotonic()
    results, _ = main(range(FAULT_TASKS), commands, past_performance=None)
    assert results == [x * x for x in range(FAULT_TASKS)]
    return time.monotonic() - began


def measure() -> list[Row]:
    """Both sides of each ratio in turn."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(cost(spread))
        theirs.append(cost(threads))
    rates = [statistics.median(side.rate for side in sides) for sides in (ours, theirs)]
    cpus = [statistics.median(side.cpu_us for side in sides) for sides in (ours, theirs)]
    healthy, mixed = [], []
    for _ in range(FAULT_ROUNDS):
        healthy.append(faults_s([HEALTHY] * 6))
        mixed.append(faults_s([BUSY, DYING, *[HEALTHY] * 6]))
    healthy_s, mixed_s = statistics.median(healthy), statistics.median(mixed)
    where = f"{WORKERS} commands"
    return [
        Row(
            f"tasks for {where}, at least the rate of a thread for each",
            rates[0] / rates[1],
            1.0,
            f"{rates[0]:,.0f} tasks/s against {rates[1]:,.0f}",
        ),
        Row(
            f"tasks for {where}, the master's processor time against a thread for each",
            cpus[1] / cpus[0],
            PROCESSOR_SHARE,
            f"{cpus[0]:.1f} µs a task against {cpus[1]:.1f}",
        ),
        Row(
            f"{FAULT_TASKS} tasks, with a busy and a dying command within {ALLOWED} of the healthy six alone",
            ALLOWED * healthy_s / mixed_s,
            1.0,
            f"{mixed_s:.2f} s against {healthy_s:.2f} s",
        ),
    ]
