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


def seeded(i, seed=8):
    """Seed this process as a task's generators are."""
    random.seed(f"{seed} {i}")
    np.random.seed(np.random.SeedSequence(seed, spawn_key=(i,)).generate_state(4))


RANDOM = [
    "random()", "getrandbits(70)", "randbytes(9)", "randint(1, 99)", "randrange(99)", "choice('abcdefgh')",
    "choices('abc', k=9)", "sample(range(99), 9)", "uniform(1, 2)", "triangular()", "gauss()", "normalvariate()",
    "lognormvariate(0, 1)", "expovariate(1)", "vonmisesvariate(1, 1)", "gammavariate(1, 1)", "betavariate(1, 1)",
    "paretovariate(1)", "weibullvariate(1, 1)", "getstate()[1][:9]",
]  # fmt: skip
NUMPY = [
    "random()", "random_sample(3)", "ranf(3)", "sample(3)", "rand(3)", "randn(3)", "randint(99, size=9)", "bytes(9)",
    "choice(99)", "choice(99, 3, replace=False)", "permutation(9)", "uniform(size=3)", "normal()", "standard_normal()",
    "beta(1, 2)", "binomial(9, 0.5)", "chisquare(2)", "dirichlet([1, 2])", "exponential()", "f(2, 3)", "gamma(2)",
    "geometric(0.1)", "gumbel()", "hypergeometric(9, 9, 9)", "laplace()", "logistic()", "lognormal()", "logseries(0.9)",
    "multinomial(9, [0.5, 0.5])", "multivariate_normal([0, 1], [[1, 0], [0, 1]])", "negative_binomial(9, 0.5)",
    "noncentral_chisquare(2, 3)", "noncentral_f(2, 3, 4)", "pareto(2)", "poisson(9)", "power(2)", "rayleigh()",
    "standard_cauchy()", "standard_exponential()", "standard_gamma(2)", "standard_t(2)", "triangular(0, 1, 2)",
    "vonmises(0, 1)", "wald(1, 2)", "weibull(2)", "zipf(2)", "mtrand._rand.normal()", "get_state()[1][:9]",
    "mtrand._rand.tomaxint()", "mtrand._rand._bit_generator.random_raw(3)",
]  # fmt: skip


def test_whichever_function_draws_first_the_generator_was_seeded():
    """Each is the first to draw in its task, and is seeded when it does."""
    calls = [f"random.{call}" for call in RANDOM] + [f"numpy.random.{call}" for call in NUMPY]
    names = {"random": random, "numpy": np}

    def evaluate(i, call):
        import random

        import numpy

        return repr(eval(call, {"random": random, "numpy": numpy}))

    wanted = []
    for i, call in enumerate(calls):
        seeded(i)
        wanted.append(repr(eval(call, names)))
    with Sleigh(workerCount=2) as s:
        assert dict(zip(calls, s.eachElem(evaluate, [range(len(calls)), calls], seed=8), strict=True)) == dict(
            zip(calls, wanted, strict=True)
        )


def test_a_state_that_a_task_sets_itself_is_not_replaced():
    def work(i):
        random.seed(99)
        np.random.seed(99)
        one = random.random(), np.random.random()
        states = random.getstate(), np.random.get_state()
        two = random.random(), np.random.random()
        random.setstate(states[0])
        np.random.set_state(states[1])
        return one, two, (random.random(), np.random.random())

    random.seed(99)
    np.random.seed(99)
    one, two = ((random.random(), np.random.random()) for _ in range(2))
    with Sleigh(workerCount=1) as s:
        assert s.eachElem(work, range(3), seed=8) == [(one, two, two)] * 3


def test_half_of_a_pair_is_not_left_to_the_next_task():
    with Sleigh(workerCount=1, initializer="import random, numpy") as s:
        drawn = s.eachElem("random.gauss(), numpy.random.standard_normal()", range(4), seed=8)
    for i, numbers in enumerate(drawn):
        seeded(i)
        assert numbers == (random.gauss(), np.random.standard_normal())


def test_a_child_of_a_task_goes_on_with_what_its_parent_has_drawn_so_far():
    def work(i):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, str(np.random.random()).encode())
            os._exit(0)
        os.wait()
        return float(os.read(read, 99)), np.random.random()

    with Sleigh(workerCount=1, initializer="import numpy") as s:
        drawn = s.eachElem(work, range(3), seed=8)
    for i, numbers in enumerate(drawn):
        seeded(i)
        number = np.random.random()
        assert numbers == (number, number)


def test_another_generator_in_the_place_of_numpys_is_seeded_all_the_same():
    setup = "import numpy; numpy.random.set_bit_generator(numpy.random.MT19937(1))"
    with Sleigh(workerCount=1, initializer=setup) as s:
        drawn = s.eachElem("numpy.random.random()", range(3), seed=8)
    for i, number in enumerate(drawn):
        seeded(i)
        assert number == np.random.random()


def test_what_draws_is_the_modules_own_also_where_it_is_sent():
    import pickle

    def work(i):
        return pickle.dumps([random.random, random.getrandbits, random.seed])

    with Sleigh(workerCount=1) as s:
        [sent] = s.eachElem(work, [0], seed=8)
    random_, getrandbits, _ = pickle.loads(sent)
    assert (random_, getrandbits) == (random.random, random.getrandbits)


@pytest.mark.parametrize("bad", [-1, 1.5, "1", True])
def test_seeds_that_are_none_are_refused(bad):
    with pytest.raises(SleighIllegalValueException, match="seed"):
        Sleigh(seed=bad)
    with Sleigh(workerCount=1) as s, pytest.raises(SleighIllegalValueException, match="seed"):
        s.eachElem(abs, [1], seed=bad)
