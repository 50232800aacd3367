"""The ways in which a process comes to harm, all from outside, so that one way serves for every process."""

import contextlib
import ctypes
import os
import platform
import signal
import sys
import uuid
from pathlib import Path

from leftovers import wait_until

_PTRACE_SEIZE, _PTRACE_INTERRUPT, _PTRACE_DETACH = 0x4206, 0x4207, 17
_PTRACE_GETREGS, _PTRACE_SETREGS = 12, 13
_WAIT_ALL = 0x40000000
_SYSCALL = b"\x0f\x05"
_EXIT_GROUP, _MMAP = 231, 9
_READ_WRITE, _PRIVATE_ANONYMOUS_POPULATE = 3, 0x8022
_EXIT_CODE = 3
_LIMIT_BYTES = 1 << 30
_MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


class _Registers(ctypes.Structure):
    _names = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base"
    _fields_ = [(name, ctypes.c_ulonglong) for name in f"{_names} ds es fs gs".split()]


def _ptrace(request: int, pid: int, data: object = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace({request:#x}): {os.strerror(error)}")


def _make_it_call(pid: int, number: int, *arguments: int) -> None:
    """Let a process make a system call of our choice instead of the one that it waits in."""
    wait_until(lambda: _made_it_call(pid, number, *arguments), f"process {pid} waits in a system call")


def _made_it_call(pid: int, number: int, *arguments: int) -> bool:
    _ptrace(_PTRACE_SEIZE, pid)
    _ptrace(_PTRACE_INTERRUPT, pid)
    os.waitpid(pid, _WAIT_ALL)
    registers = _Registers()
    _ptrace(_PTRACE_GETREGS, pid, ctypes.addressof(registers))
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(registers.rip - len(_SYSCALL))
        waits = memory.read(len(_SYSCALL)) == _SYSCALL
    if waits:
        # Else the kernel would set up the interrupted call once more.
        registers.orig_rax = ctypes.c_ulonglong(-1).value
        registers.rip -= len(_SYSCALL)
        registers.rax = number
        for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments, strict=False):
            setattr(registers, name, ctypes.c_ulonglong(value).value)
        _ptrace(_PTRACE_SETREGS, pid, ctypes.addressof(registers))
    _ptrace(_PTRACE_DETACH, pid)
    return waits


def _fault(pid: int) -> None:
    """Send SIGSEGV until the process has died of it: a handler for faults may pass once over one that is none."""

    def has_died() -> bool:
        try:
            os.kill(pid, signal.SIGSEGV)
            # Who is stopped dies of it later.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZXT"
        except (ProcessLookupError, FileNotFoundError):
            return True

    wait_until(has_died, f"process {pid} has died of SIGSEGV")


def _exit(pid: int) -> None:
    _make_it_call(pid, _EXIT_GROUP, _EXIT_CODE)


def _run_out_of_memory(pid: int) -> None:
    _make_it_call(pid, _MMAP, 0, 2 * _LIMIT_BYTES, _READ_WRITE, _PRIVATE_ANONYMOUS_POPULATE, -1, 0)


def within_a_memory_group(command: list[str]) -> list[str]:
    """Return the command that runs this one, and all that it starts, where memory has a limit."""
    group = _MEMORY_GROUPS / f"nws-test-{uuid.uuid4().hex}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(_LIMIT_BYTES))
    return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs"), *command]


def remove_groups() -> None:
    """Remove the memory groups that are empty again."""
    for group in _MEMORY_GROUPS.glob("nws-test-*"):
        with contextlib.suppress(OSError):
            group.rmdir()


def why_not(how: str) -> str | None:
    """Say why a way cannot be gone here, if it cannot."""
    if how in ("exit", "memory") and (platform.machine() != "x86_64" or sys.platform != "linux"):
        return "a process is made to exit or allocate by its registers, and only those of x86_64 are known"
    if how in ("exit", "memory") and os.geteuid() != 0:
        return "only root may make another process exit or allocate here"
    if how == "memory" and not os.access(_MEMORY_GROUPS / "memory.limit_in_bytes", os.W_OK):
        return "no memory control group (version 1) may be made here"
    return None


HOW = {
    "SIGKILL": lambda pid: os.kill(pid, signal.SIGKILL),
    "SIGSEGV": _fault,
    "SIGSTOP": lambda pid: os.kill(pid, signal.SIGSTOP),
    "memory": _run_out_of_memory,
    "exit": _exit,
}
