"""NetWorkSpaces: named variables shared over a network, and work spread over many processes.

`nws.client` has workspaces and their variables, `nws.sleigh` has groups of workers that run functions. Names with a
leading underscore are private to the package; `_native` is the part written in Rust.
"""

__version__: str


def __getattr__(name: str) -> str:
    # Looked up when asked for: reading the metadata would cost every worker's start several milliseconds.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("networkspaces")
        except PackageNotFoundError:  # run from a source tree that was never installed
            return "0+unknown"
    raise AttributeError(f"module 'nws' has no attribute {name!r}")
