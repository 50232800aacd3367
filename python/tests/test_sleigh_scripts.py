"""Functions of scripts, of standard input and of interactive sessions, each in a process of its own."""

import os
import subprocess
import sys


def run_script(text, *arguments, stdin=False, **options):
    environment = {**os.environ, "PYTHONWARNINGS": "error", **options.pop("env", {})}
    command = [sys.executable, *arguments]
    if not stdin:
        command += ["-c", text]
    done = subprocess.run(
        command, input=text if stdin else None, capture_output=True, text=True, timeout=50, env=environment, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


SCRIPT = """
import sys
from dataclasses import dataclass
from nws.sleigh import Sleigh

print("begin")

@dataclass
class Point:
    x: int
    y: int

def move(point, by):
    return Point(point.x + by, point.y)

scale = 3
s = Sleigh(workerCount=2)
points = s.eachElem(move, (Point(1, 2), Point(3, 4)), scale)
print(points, all(type(p) is Point for p in points))
s.stop()
print("end")
"""
EXPECTED = ["begin", "[Point(x=4, y=2), Point(x=6, y=4)] True", "end"]


def test_a_script_needs_no_main_guard_and_is_never_run_twice(tmp_path):
    path = tmp_path / "a script.py"
    path.write_text(SCRIPT)
    assert run_script("", str(path), stdin=True) == EXPECTED


def test_functions_of_standard_input_travel():
    assert run_script(SCRIPT, "-", stdin=True) == EXPECTED


def test_functions_of_an_interactive_session_travel():
    lines = ["from nws.sleigh import Sleigh", "def f(x): return x * 2", "", "s = Sleigh(workerCount=1)"]
    lines += ["s.eachElem(f, range(3))", "def f(x): return x * 5", "", "s.eachElem(f, range(3))", ""]
    assert run_script("\n".join(lines), "-i", "-q", "-", stdin=True) == ["[0, 2, 4]", "[0, 5, 10]"]


def test_modules_beside_a_script_are_found(tmp_path):
    (tmp_path / "beside.py").write_text("def f(x):\n    return x + 100\n")
    main = tmp_path / "main.py"
    main.write_text(
        "import beside\nfrom nws.sleigh import Sleigh\nwith Sleigh(workerCount=1) as s:\n"
        "    print(s.eachElem(beside.f, range(2)))\n"
    )
    assert run_script("", str(main), stdin=True, cwd="/") == ["[100, 101]"]


def test_names_that_are_not_utf8_reach_the_workers(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with open(folder + b"/main.py", "w") as script:
        script.write(
            "import os, sys\nfrom nws.sleigh import Sleigh\nwith Sleigh(workerCount=1) as s:\n"
            "    told = s.eachWorker(lambda: (sys.argv[1:], sys.path[0]))\n"
            "print(told == [([os.fsdecode(b'\\xfe')], sys.path[0])])\n"
        )
    assert run_script("", folder + b"/main.py", b"\xfe", stdin=True) == ["True"]


def test_a_forgotten_stop_leaves_nothing_and_prints_nothing():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from nws.sleigh import Sleigh; s = Sleigh(workerCount=1); print(s.eachElem(abs, [-1]))",
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1]\n", "")


def test_what_each_worker_defined_stays_visible_to_later_tasks():
    script = """
from nws.sleigh import Sleigh

table = None

def prepare(size):
    global table, helper
    import json as helper
    table = list(range(size))
    return len(table)

def look(x):
    return table[x], helper.dumps(x)

def change(x):
    table[0] = x
    return table[0]

with Sleigh(workerCount=2) as s:
    print(s.eachWorker(prepare, 10))
    print(s.eachElem(look, (3, 4)))
    print(s.eachWorker(change, 7), s.eachWorker(look, 0), table)
"""
    assert run_script(script) == [
        "[10, 10]",
        "[(3, '3'), (4, '4')]",
        "[7, 7] [(7, '0'), (7, '0')] None",
    ]
