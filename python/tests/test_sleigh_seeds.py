"""Random numbers follow from seed and index alone: not from who runs a task, what ran before, or who dies."""

import os
import random
import signal

import numpy as np
import pytest

from nws.sleigh import Sleigh, SleighIllegalValueException


def draw(i):
    import random

    import numpy

    return (
        random.random(),
        random.randint(0, 10**9),
        numpy.random.random(),
        numpy.random.default_rng().random(),
        numpy.random.default_rng().random(),
    )


def expected(i, seed, *call):
    random.seed(" ".join(map(str, (seed, *call, i))))
    np.random.seed(np.random.SeedSequence(seed, spawn_key=(*call, i)).generate_state(4))
    rngs = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*call, i, k))) for k in range(2)]
    return (random.random(), random.randint(0, 10**9), np.random.random(), *(rng.random() for rng in rngs))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_numbers_are_those_of_the_documented_formula_on_any_number_of_workers(workers):
    wanted = [expected(i, 42) for i in range(60)]
    with Sleigh(workerCount=workers) as s:
        assert s.eachElem(draw, range(60), seed=42) == wanted
        assert s.eachElem(draw, range(60), seed=42, chunkSize=7) == wanted
        assert list(s.imap(draw, range(60), seed=42)) == wanted
        assert list(s.starmap(draw, ((i,) for i in range(60)), seed=42)) == wanted
        assert s.eachWorker(draw, 0, seed=42) == wanted[:workers]


def test_deaths_change_no_number(tmp_path):
    def deadly(i, folder):
        drawn = draw(i)
        if i % 10 == 3:
            try:
                os.close(os.open(f"{folder}/{i}", os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return drawn

    with Sleigh(workerCount=2) as s:
        assert s.eachElem(deadly, range(40), str(tmp_path), seed=7) == [expected(i, 7) for i in range(40)]


def test_generators_that_a_task_imports_first_are_seeded_as_well():
    text = """
import sys
known = "random" in sys.modules, "numpy" in sys.modules
import random, numpy
drawn = [random.random(), random.randint(0, 10**9), numpy.random.random()]
SleighValue = known, (*drawn, numpy.random.default_rng().random(), numpy.random.default_rng().random())
"""
    with Sleigh(workerCount=1) as s:
        (known, one), (_, two) = s.eachElem(text, range(2), seed=3)
    assert known == (False, False), "this test shows nothing where a worker has them from the start"
    assert [one, two] == [expected(0, 3), expected(1, 3)]


def test_names_that_were_imported_from_the_modules_are_seeded_as_well():
    setup = "from random import gauss; from numpy.random import default_rng, normal"
    with Sleigh(workerCount=2, initializer=setup) as s:
        one = s.eachElem("gauss(0, 1), default_rng().normal(), normal()", range(10), seed=11)
        two = s.eachElem("gauss(0, 1), default_rng().normal(), normal()", range(10), seed=11)
    assert one == two
    assert len({number for numbers in one for number in numbers}) == 30


def test_a_sleighs_own_seed_gives_each_call_numbers_of_its_own():
    with Sleigh(workerCount=2, seed=5) as s:
        assert s.eachElem(draw, range(5)) == [expected(i, 5, 0) for i in range(5)]
        assert s.eachElem(draw, range(5)) == [expected(i, 5, 1) for i in range(5)]
        assert s.eachElem(draw, range(5), seed=42) == [expected(i, 42) for i in range(5)]
        assert s.eachElem(draw, range(5)) == [expected(i, 5, 3) for i in range(5)]


def test_without_a_seed_numbers_differ_also_after_a_call_that_had_one():
    with Sleigh(workerCount=2) as s:
        seeded = s.eachElem(draw, range(20), seed=1)
        free = [s.eachElem(draw, range(20)) for _ in range(2)]
        again = s.eachElem(draw, range(20), seed=1)
    assert seeded == again
    numbers = [number for results in (seeded, *free) for result in results for number in result]
    assert len(set(numbers)) == len(numbers)


def test_the_patched_function_of_numpy_stays_what_it_was():
    def use(i):
        import pickle

        from numpy.random import default_rng

        assert pickle.loads(pickle.dumps(default_rng)) is default_rng
        return default_rng(9).random(), default_rng.__name__, bool(default_rng.__doc__)

    with Sleigh(workerCount=1) as s:
        assert s.eachElem(use, [1], seed=2) == [(np.random.default_rng(9).random(), "default_rng", True)]


@pytest.mark.parametrize("bad", [-1, 1.5, "1", True])
def test_seeds_that_are_none_are_refused(bad):
    with pytest.raises(SleighIllegalValueException, match="seed"):
        Sleigh(seed=bad)
    with Sleigh(workerCount=1) as s, pytest.raises(SleighIllegalValueException, match="seed"):
        s.eachElem(abs, [1], seed=bad)
