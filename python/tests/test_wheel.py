"""The product as people get it: a wheel in a bare environment, with the checkout out of reach."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

PYTHON_FOLDER = Path(__file__).resolve().parent.parent
ROOT = PYTHON_FOLDER.parent

pytestmark = pytest.mark.timeout(900)

PROGRAM = """
import nws._binary, nws._native, pathlib, sys
from nws.sleigh import Sleigh

home = pathlib.Path(sys.prefix)
for path in (nws.__file__, nws._native.__file__, nws._binary.binary_path()):
    assert home in pathlib.Path(path).parents, path
factor = 3

def times(x):
    return x * factor, [path for path in sys.path if CHECKOUT in path]

with Sleigh(workerCount=2) as sleigh:
    results = sleigh.eachElem(times, range(100))
assert [value for value, _ in results] == [3 * x for x in range(100)], results
assert not any(paths for _, paths in results), results
from nws.taylorism import Worker, run_as_server

class Tripler(Worker):  # without the library footprints
    tripled: int

    def _task(self):
        return times(self.tripled)

with run_as_server({}, {"tripled": [1]}) as boss:
    boss.wait_till_finished()
    [report] = boss.get_report()["workers_report"]
assert report["report"] == (3, []), report
print("the sleigh ran")
"""


def run(*command: object, cwd: Path, timeout_s: int = 300, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # As everybody builds it: pip calls the package's own backend, which builds the program too.
    build = ["-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", out, PYTHON_FOLDER]
    run(sys.executable, *build, cwd=out, timeout_s=800, env=building())
    (built,) = out.glob("*.whl")
    return built


def building() -> dict[str, str]:
    """The environment to build in: with maturin, and with the target folder of `make setup`, where all is built."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "CARGO_TARGET_DIR": str(ROOT / "target"), "PYO3_BUILD_EXTENSION_MODULE": "1"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What a source distribution holds."""
    out = tmp_path_factory.mktemp("sources")
    build = "import sys; sys.path.insert(0, 'build_backend'); import nws_build; nws_build.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, out, cwd=PYTHON_FOLDER, env=building())
    (packed,) = out.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(out, filter="data")
    (unpacked,) = (path for path in out.iterdir() if path.is_dir())
    return unpacked


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory) -> Path:
    """A new environment that holds the wheel and what it depends on, and nothing else."""
    home = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", home / "env", cwd=home)
    python = home / "env/bin/python"
    pins = PYTHON_FOLDER / "requirements-dev.txt"
    run(
        python, "-m", "pip", "install", "--quiet", "--no-input", "--retries", "8", "--constraint", pins, wheel, cwd=home
    )
    return python


@pytest.fixture
def outside(tmp_path) -> dict[str, object]:
    """Where and in which environment programs run: nothing of it leads to the checkout."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "TERM") if name in os.environ}
    env = {**kept, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "NWS_RUNTIME_DIR": str(tmp_path / "runtime")}
    return {"cwd": tmp_path, "env": env}


def test_the_wheel_holds_the_program_and_what_a_package_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = {entry.filename: entry for entry in archive.infolist()}
    names = set(files)
    assert {"nws/py.typed", "nws/_native.pyi", "nws/sleigh.py", "nws/client.py", "nws/demo/__main__.py"} <= names
    assert files["nws/_bin/nws"].external_attr >> 16 & 0o111 == 0o111
    assert [name for name in names if name.endswith(".so")] == ["nws/_native.abi3.so"]
    licences = {Path(name).name: files[name].file_size for name in names if "/licenses/" in name}
    others = licences.pop("THIRD-PARTY-LICENSES.txt")
    assert others > 50_000
    assert licences == {name: (ROOT / name).stat().st_size for name in ("LICENSE-MIT", "LICENSE-APACHE")}
    assert not [name for name in names if re.search(r"__pycache__|tests?/|\.rs$|/events\.jsonl$", name)]


def test_a_sleigh_runs_from_the_wheel(bare, outside, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.replace("CHECKOUT", repr(str(ROOT))))
    assert run(bare, script, **outside) == "the sleigh ran\n"


def test_the_demo_runs_from_the_wheel(bare, outside, tmp_path):
    out = run(bare, "-m", "nws.demo", "--limit", "20", "--workers", "2", **outside)
    assert out.splitlines()[-1].startswith("2 workers")
    assert (tmp_path / "demo-out/timeline.svg").is_file()


def test_the_command_nws_runs_from_the_wheel(bare, outside):
    assert "serve" in run(bare.with_name("nws"), "--help", **outside)


def test_the_command_pybabelfish_runs_from_the_wheel(bare, outside):
    assert "--host" in run(bare.with_name("pybabelfish"), "--help", **outside)


def test_the_licences_of_all_that_is_in_the_package_come_with_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/THIRD-PARTY-LICENSES.txt"))
        text = archive.read(name).decode()
    tree = run("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", "nws-cli", cwd=ROOT)
    crates = {(line.split()[0], line.split()[1][1:]) for line in tree.splitlines() if line and "(/" not in line}
    assert len(crates) > 30
    for crate, version in crates:
        assert f"\n{crate} {version}: " in text, crate
    assert "Permission is hereby granted" in text and "Apache License" in text
    assert "Jason Evans" in text, "the allocator in C, which a crate holds in a folder of its own"


def test_a_source_distribution_has_all_that_is_built(sources):
    assert not (sources / "src/nws/_bin").exists()
    tree = run("cargo", "tree", "--offline", "--package", "nws-cli", "--depth", "0", cwd=sources)
    assert str(sources / "crates/nws-cli") in tree
    for file in ("src/nws/sleigh.py", "build_backend/nws_build.py", "build_backend/third_party.py", "PKG-INFO"):
        assert (sources / file).is_file(), file


def test_maturin_alone_packs_nothing_without_the_program(sources, tmp_path):
    """Its build script as cargo runs it: to build the whole for that would take minutes."""
    script = tmp_path / "script"
    run("rustc", "--edition", "2024", "-o", script, sources / "python/native/build.rs", cwd=tmp_path)

    def told(**env: str) -> str:
        return run(script, cwd=sources / "python/native", env=env)

    by_maturin = {"PYO3_CONFIG_FILE": str(ROOT / "target/maturin/pyo3-config.txt")}
    refused = "cargo::error=expected the program nws at python/src/nws/_bin/nws, and it is not there"
    assert refused in told(**by_maturin)
    assert "cargo::error" not in told()
    program = sources / "src/nws/_bin/nws"
    program.parent.mkdir()
    program.touch()
    assert told(**by_maturin) == "cargo::rerun-if-changed=build.rs\n"
    program.unlink()
    program.parent.rmdir()
