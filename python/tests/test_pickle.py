"""What travels between a script and a worker: functions by value, one namespace, classes that stay themselves."""

import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nws import _pickle
from pickle_worker import PickleWorker

RunScript = Callable[..., str]

FUNCTIONS = """
import functools, math
from pickle_worker import PickleWorker

offset = 10

def helper(x):
    return x + offset

def calls_helper(x):
    return helper(x) + math.floor(0.5)

@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def adder(n):
    return lambda x: x + n

def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)

def even(n):
    return True if n == 0 else odd(n - 1)

def odd(n):
    return False if n == 0 else even(n - 1)

class Scale:
    factor = 3
    def __init__(self, by):
        self.by = by
    def apply(self, x):
        return x * self.by * self.factor
    @classmethod
    def of_class(cls, x):
        return cls.factor * x
    @staticmethod
    def double(x):
        return 2 * x
    def __call__(self, x):
        return self.apply(x) + 1

def counting():
    count = 0
    def inner(x):
        nonlocal count
        count += x
        return count
    return inner

with PickleWorker() as worker:
    assert worker(calls_helper, 1) == 11
    assert worker(lambda x: helper(x) * 2, 1) == 22
    assert worker(adder(5), 1) == 6
    assert worker(recursive, 5) == 120
    assert worker(even, 10) is True
    assert worker(Scale(2).apply, 7) == 42
    assert worker(Scale(2), 7) == 43
    assert worker(Scale.of_class, 7) == 21
    assert worker(Scale.double, 7) == 14
    assert worker(functools.partial(Scale(1).apply, 2)) == 6
    assert worker(counting(), 4) == 4
    assert worker(len, "abc") == 3
    assert worker(math.sqrt, 4.0) == 2.0
    assert worker("abc".upper) == "ABC"
    assert worker(str.upper, "abc") == "ABC"
    assert worker(functools.lru_cache(helper), 2) == 12
    assert worker(fib, 60) == 1548008755920
    assert worker(lambda: fib.cache_info().currsize) == 61
    assert worker(lambda: fib(3)) == 2 and worker(lambda: fib.cache_info().currsize) == 61
print("ok")
"""


@pytest.mark.parametrize("by_stdin", [False, True], ids=["script", "standard input"])
def test_functions_of_main_run_elsewhere(run_script: RunScript, by_stdin: bool) -> None:
    assert run_script(FUNCTIONS, by_stdin=by_stdin) == "ok\n"


def test_the_functions_of_a_module_share_one_namespace_per_worker(run_script: RunScript) -> None:
    script = """
from pickle_worker import PickleWorker

offset, table, config = 1, {}, {"k": 1}

def define(x):
    global defined
    defined = x

def read():
    return defined

def rebind():
    global offset
    offset = 100

def read_offset():
    return offset

def fill(k, v):
    table[k] = v

def read_table():
    return table

def read_config():
    return config

with PickleWorker() as worker:
    worker(define, 5)
    assert worker(read) == 5
    assert worker(lambda: defined + 1) == 6
    assert worker(read_offset) == 1
    offset = 2
    assert worker(read_offset) == 2          # what the master binds anew is updated
    worker(rebind)
    offset = 3
    assert worker(read_offset) == 100        # but for what the worker bound anew
    worker(fill, "a", 1)
    assert worker(read_table) == {"a": 1}    # sent unchanged: stays as the worker filled it
    config["k"] = 2
    assert worker(read_config) == {"k": 2}   # changed in place by the master: updated
    assert table == {} and offset == 3
print("ok")
"""
    assert run_script(script) == "ok\n"


CLASSES = """
import collections, dataclasses, enum, typing
from pickle_worker import PickleWorker

class Plain:
    made = 0
    def __init__(self, x):
        self.x = x
    class Nested:
        def __init__(self, y):
            self.y = y

@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0
    kind: typing.ClassVar[str] = "point"

class Slotted:
    __slots__ = ("a", "b")
    def __init__(self, a, b):
        self.a, self.b = a, b

@dataclasses.dataclass(slots=True)
class Packed:
    a: int
    b: list = dataclasses.field(default_factory=list)

class Colour(enum.Enum):
    RED = 1
    GREEN = 2

class Flag(enum.IntFlag):
    A = 1
    B = 2

Pair = collections.namedtuple("Pair", "left right", defaults=(7,))

class Typed(typing.NamedTuple):
    a: int
    b: str = "b"

class Trouble(ValueError):
    def __init__(self, what):
        super().__init__(f"trouble: {what}")
        self.what = what
    def __reduce__(self):
        return Trouble, (self.what,)

class Child(Plain):
    def __init__(self, x):
        super().__init__(x)
        self.z = x + 1

def local_class():
    class Local:
        def __init__(self, x):
            self.x = x
    return Local

Local = None
Hidden = local_class()

def make_all():
    return [Plain(1), Plain.Nested(2), Point(3), Slotted(4, 5), Colour.GREEN, Flag.A | Flag.B, Pair(6), Typed(8),
            Trouble("x"), Child(9), Hidden(10), Plain, Point, Packed(1, [2])]

def give_back(x):
    return x

with PickleWorker() as worker:
    def check():
        plain, nested, point, slotted, colour, flag, pair, typed, trouble, child, local, *more = worker(make_all)
        cls, cls2, packed = more
        assert type(plain) is Plain and plain.x == 1
        assert type(nested) is Plain.Nested and nested.y == 2
        assert type(point) is Point and point == Point(3) and dataclasses.replace(point, y=1) == Point(3, 1)
        assert type(slotted) is Slotted and slotted.b == 5
        assert colour is Colour.GREEN
        assert flag == Flag.A | Flag.B and type(flag) is Flag
        assert type(pair) is Pair and pair == Pair(6, 7)
        assert type(typed) is Typed and typed == Typed(8, "b")
        assert type(trouble) is Trouble and trouble.what == "x"
        assert type(child) is Child and child.z == 10 and isinstance(child, Plain)
        assert type(local) is Hidden and local.x == 10
        assert packed == Packed(1, [2]) and not hasattr(packed, "__dict__")
        assert cls is Plain and cls2 is Point
        for value in make_all():
            same = worker(give_back, value)
            assert type(same) is type(value), value
    check()
    init = Plain.__init__
    assert worker(lambda p: [f.name for f in dataclasses.fields(p)], Point(1)) == ["x", "y"]
    assert worker(lambda c: c is Colour.RED, Colour.RED) is True
    assert worker(lambda p: isinstance(p, Plain), Child(1)) is True
    assert Plain.__init__ is init, "the script's own class was changed"

    # The worker's own class of that module goes by value, and what it refers to with it.
    def define():
        global Own
        class Own:
            def __init__(self, x):
                self.x = Plain(x)
    worker(define)
    own = worker(lambda: Own(3))
    assert type(own).__name__ == "Own" and type(own.x) is Plain
    assert not hasattr(__import__("__main__"), "Own")
    check()

    # Class attributes follow the same rule as global names.
    def count():
        Plain.made += 1
        return Plain.made
    assert [worker(count), worker(count)] == [1, 2]
    assert worker(lambda p: p.made, Plain(0)) == 2
    Point.kind = "dot"
    assert worker(lambda p: p.kind, Point(0)) == "dot"

    # A class that is defined again is the new one.
    old = Point
    @dataclasses.dataclass
    class Point:
        u: int
    assert type(worker(lambda: Point(1))) is Point
print("ok")
"""


@pytest.mark.parametrize("by_stdin", [False, True], ids=["script", "standard input"])
def test_instances_come_back_as_the_scripts_own_classes(run_script: RunScript, by_stdin: bool) -> None:
    assert run_script(CLASSES, by_stdin=by_stdin) == "ok\n"


def test_instances_of_shipped_classes_only_name_them(run_script: RunScript) -> None:
    script = """
import dataclasses, enum, functools, threading
from nws import _pickle
from pickle_worker import PickleWorker

@dataclasses.dataclass
class Point:
    x: int
    def norm(self):
        return abs(self.x)

class Colour(enum.Enum):
    RED = 1

def local():
    class Local:
        colour = Colour.RED
    return Local

class Late:
    pass

@functools.cache
def cached(x):
    return x

Local = local()
Hidden, Local = Local, None

def same(x):
    return x, isinstance(x, Point)

shipment = _pickle.Shipment(same, [Point(1), Hidden(), [Colour.RED], threading.Lock()])
with PickleWorker() as worker:
    for value, is_point in [(Point(3), True), (Hidden(), False), (Colour.RED, False), (Late(), False), ([1], False),
                            ({"p": [Point(1)]}, False), (Point(-2).norm, False), (Point, False), (len, False),
                            (lambda: 1, False), (cached, False), (functools, False)]:
        back, told = worker.run(shipment.data, shipment.dumps((value,)))
        assert type(back) is type(value) and told is is_point, (value, back)
    assert worker.run(shipment.data, shipment.dumps((Point(-2).norm,)))[0]() == 2
    with PickleWorker() as another:  # one that sees only the instance after the shipment
        assert type(another.run(shipment.data, shipment.dumps((Hidden(),)))[0]) is Hidden
    assert len(shipment.dumps(Point(1))) < 200 < len(_pickle.dumps(Point(1)))
    try:
        shipment.dumps((1, threading.Lock()))
    except TypeError as error:
        assert "lock" in str(error)
    else:
        raise AssertionError("a lock was pickled")
print("ok")
"""
    assert run_script(script) == "ok\n"


def test_a_module_that_cannot_be_imported_elsewhere_goes_by_value(run_script: RunScript) -> None:
    script = """
import importlib.util, pathlib, sys, types
from pickle_worker import PickleWorker

made = types.ModuleType("made")
exec('''
state = {}
class Thing:
    def __init__(self, x):
        self.x = x
def put(x):
    state["x"] = x
def take():
    return Thing(state["x"])
''', made.__dict__)
sys.modules["made"] = made

pathlib.Path("aside").mkdir()
pathlib.Path("aside/plugin.py").write_text("def f(x): return x + 1\\nclass C: pass")
spec = importlib.util.spec_from_file_location("plugin", "aside/plugin.py")
plugin = importlib.util.module_from_spec(spec)
sys.modules["plugin"] = plugin
spec.loader.exec_module(plugin)

with PickleWorker() as worker:
    worker(made.put, 4)
    thing = worker(made.take)
    assert type(thing) is made.Thing and thing.x == 4
    assert type(worker(lambda x: x, made.Thing(1))) is made.Thing
    assert worker(plugin.f, 1) == 2
    assert type(worker(lambda x: x, plugin.C())) is plugin.C
print("ok")
"""
    assert run_script(script) == "ok\n"


def test_a_closure_of_an_importable_module_uses_that_module_in_the_worker() -> None:
    with PickleWorker() as worker:
        worker(bump_by(3))
        assert worker(bump_by(4)) == 7
        assert BUMPED == [0]


BUMPED = [0]


def bump_by(n: int) -> Callable[[], int]:
    def bump() -> int:
        BUMPED[0] += n
        return BUMPED[0]

    return bump


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    return None


def test_functions_with_the_same_name_in_other_global_names_do_not_mix() -> None:
    first: dict[str, object] = {"__name__": "text"}
    second: dict[str, object] = {"__name__": "text"}
    exec("value = 1\ndef read(): return value", first)
    exec("value = 2\ndef read(): return value", second)
    with PickleWorker() as worker:
        assert [worker(first["read"]), worker(second["read"]), worker(first["read"])] == [1, 2, 1]


def test_a_plain_value_is_a_plain_pickle() -> None:
    for value in ([1, "a"], {"k": (1, 2)}, np.arange(5), threading.Event, len):
        assert _pickle.dumps(value) == pickle.dumps(value, 5)


def test_by_value_within_one_process_keeps_the_class() -> None:
    class Local:
        def method(self) -> int:
            return 1

    method = Local.method
    back = _pickle.loads(_pickle.dumps(Local()))
    assert type(back) is Local
    assert Local.method is method


def test_a_process_that_is_no_worker_keeps_its_own_main(run_script: RunScript) -> None:
    text = _pickle.dumps_function(main_function())
    script = f"""
from nws import _pickle
value = "mine"
assert _pickle.loads({text!r})() == "theirs"
assert value == "mine"
print("ok")
"""
    assert run_script(script) == "ok\n"


def main_function() -> Callable[[], str]:
    names = {"__name__": "__main__"}
    exec("value = 'theirs'\ndef read(): return value", names)
    function = names["read"]
    assert isinstance(function, types.FunctionType)
    return function


class Holder:
    def __init__(self, what: object) -> None:
        self.what = what


def closing_over(what: object) -> Callable[[], object]:
    return lambda: what


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, "_thread.lock ("),
        ({"a": 1, "lock": LOCK}, "item 'lock' of the dict: _thread.lock ("),
        ([1, (2, LOCK)], "item 1 of the list: item 1 of the tuple: _thread.lock ("),
        ({"h": Holder([LOCK])}, "attribute 'what' of the test_pickle.Holder: item 0 of the list: _thread.lock ("),
        (closing_over(LOCK), "variable 'what' that closing_over.<locals>.<lambda> closes over: _thread.lock ("),
        (Holder(LOCK).__init__, "attribute 'what' of the test_pickle.Holder: _thread.lock ("),
        ((i for i in ()), "generator ("),
    ],
    ids=["itself", "dict", "nested", "attribute", "closure", "method", "generator"],
)
def test_what_cannot_be_pickled_is_named(value: object, path: str) -> None:
    with pytest.raises(Exception, match="pickle") as caught:
        _pickle.dumps(value)
    assert path in _pickle.explain(value, caught.value)


def test_the_global_name_that_cannot_be_pickled_is_named() -> None:
    names: dict[str, object] = {"__name__": "__main__", "lock": LOCK}
    exec("def uses():\n    return lock", names)
    with pytest.raises(TypeError) as caught:
        _pickle.dumps_function(names["uses"])
    assert "global 'lock' of uses: _thread.lock (" in _pickle.explain(names["uses"], caught.value)


def test_a_value_that_contains_itself_is_explained() -> None:
    value: list[object] = []
    value += [value, LOCK]
    with pytest.raises(TypeError) as caught:
        _pickle.dumps(value)
    assert _pickle.explain(value, caught.value).startswith("item 1 of the list: _thread.lock")
