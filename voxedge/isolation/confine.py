"""What a process gives up for good before it reads untrusted bytes.

Memory, written files and core dumps by ``setrlimit``; new privileges, programs, processes and
sockets by Linux's seccomp. Where the system has no such thing, the limit is left out.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import NamedTuple

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2  # linux/prctl.h
_ALLOW, _KILL, _FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000  # linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_CLONE_THREAD = 0x1_0000  # linux/sched.h: a decoder may start threads
_X32 = 0x4000_0000  # calls of the x32 ABI, which has numbers of its own


class _Calls(NamedTuple):
    """Numbers of an architecture, for the kernel."""

    architecture: int  # linux/audit.h
    clone: int
    refused: tuple[int, ...]


_CLONE3 = 435
#: Refused are: socket, socketpair, connect, bind, fork, vfork, execve, execveat, ptrace,
#: process_vm_readv, process_vm_writev, kill, tkill, io_uring_setup, bpf, mount.
_CALLS = {
    "x86_64": _Calls(
        0xC000_003E,
        56,
        (41, 53, 42, 49, 57, 58, 59, 322, 101, 310, 311, 62, 200, 425, 321, 165),
    ),
    "aarch64": _Calls(
        0xC000_00B7, 220, (198, 199, 203, 200, 221, 281, 117, 270, 271, 129, 130, 425, 280, 40)
    ),
}


def confine(memory: int) -> list[str]:
    """Give up what decoding does not need.

    Args:
        memory: bytes of address space that the process may have in all.

    Returns:
        What was given up: ``memory``, ``files``, ``system calls``.
    """
    done: list[str] = []
    try:
        import resource
    except ImportError:  # Windows
        return done
    for name, limit in (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        resource.setrlimit(getattr(resource, name), (limit, limit))
    done += ["memory", "files"]
    if sys.platform == "linux" and _refuse_calls():
        done.append("system calls")
    return done


def _refuse_calls() -> bool:
    """Let the kernel refuse system calls with EPERM; whether it does."""
    if platform.machine() not in _CALLS:
        return False
    program = _filter(_CALLS[platform.machine()])
    code = b"".join(struct.pack("<HBBI", *each) for each in program)
    held = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    described = Program(len(program), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(described), 0, 0) == 0)


def _filter(calls: _Calls) -> list[tuple[int, int, int, int]]:
    """Instructions of classic BPF: code, jump if true, jump if false, operand (man 2 seccomp)."""
    tests = [
        (_AT_LEAST, _X32, "refuse"),
        (_EQUAL, _CLONE3, "missing"),
        (_EQUAL, calls.clone, "new"),
    ]
    tests += [(_EQUAL, number, "refuse") for number in calls.refused]
    # What follows the tests; a jump counts from the instruction after its own.
    after = {"allow": 0, "refuse": 1, "missing": 2, "new": 3}
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, calls.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *(
            (code, len(tests) - 1 - place + after[where], 0, operand)
            for place, (code, operand, where) in enumerate(tests)
        ),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),  # the C library then tries clone
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
