"""A large numpy array from Python: store and find against redis-py with pickle, both over a Unix socket."""

from __future__ import annotations

import pickle
import statistics
import time
from collections.abc import Callable

import numpy
from nws.client import NetWorkSpace
from row import Row

ROUNDS = 9
ARRAY_BYTES = 100_000_000
GOAL = 4.0


def milliseconds(store_and_find: Callable[[numpy.ndarray], numpy.ndarray], array: numpy.ndarray) -> float:
    """How long one way there and back takes; what comes must be what went."""
    began = time.perf_counter()
    found = store_and_find(array)
    took = time.perf_counter() - began
    if not numpy.array_equal(found, array):
        raise AssertionError("another array came back")
    return took * 1e3


def measure(our_socket: str, their_socket: str) -> Row:
    """Both keep one value under one name, which each store replaces, and take turns."""
    import redis

    array = numpy.random.default_rng(0).random(ARRAY_BYTES // 8)
    client = redis.Redis(unix_socket_path=their_socket)
    with NetWorkSpace("array contest", our_socket) as space:
        space.declare("array", "single")

        def us(array: numpy.ndarray) -> numpy.ndarray:
            space.store("array", array)
            found: numpy.ndarray = space.find("array")
            return found

        def them(array: numpy.ndarray) -> numpy.ndarray:
            client.set("array", pickle.dumps(array, protocol=pickle.HIGHEST_PROTOCOL))
            found: numpy.ndarray = pickle.loads(client.get("array"))
            return found

        rounds = [(milliseconds(us, array), milliseconds(them, array)) for _ in range(ROUNDS + 1)][1:]
    client.delete("array")
    client.close()
    ratio = statistics.median(theirs / ours for ours, theirs in rounds)
    ours, theirs = (statistics.median(times) for times in zip(*rounds, strict=True))
    name = f"a numpy array of {ARRAY_BYTES // 1_000_000} MB from Python, store and find, Unix socket"
    return Row(name, ratio, GOAL, f"{ours:.0f} against {theirs:.0f} ms")
