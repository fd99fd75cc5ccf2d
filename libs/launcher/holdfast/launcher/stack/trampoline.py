"""Runs between fork and exec of every child of the stack: ties its life to the launcher's.

Started as ``python -I -S trampoline.py <json> <program> <argument>…``. A program of its
own, rather than a ``preexec_fn``, because the launcher has threads and a fork
that runs Python code under threads can deadlock. It imports the standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
EXIT_CANNOT_DROP = 126


def _prctl(libc: ctypes.CDLL, option: int, *values: int) -> None:
    padded = [*values, 0, 0, 0, 0][:4]
    if libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _capabilities(libc: ctypes.CDLL) -> tuple[ctypes.Array[ctypes.c_uint32], ctypes.Array[ctypes.c_uint32]]:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice for 64 bits
    if libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    return header, data


def _keep_one_capability(libc: ctypes.CDLL) -> None:
    """Keep only the right to pass through folders closed to others (a clone under /root)."""
    header, data = _capabilities(libc)
    wanted = CAP_DAC_READ_SEARCH if data[1] & (1 << CAP_DAC_READ_SEARCH) else CAP_DAC_OVERRIDE
    bit = 1 << wanted
    data[0] = data[1] = data[2] = bit
    data[3] = data[4] = data[5] = 0
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(libc, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, wanted)


def _become(libc: ctypes.CDLL | None, uid: int, pass_closed_folders: bool) -> None:
    if pass_closed_folders and libc is not None:
        _prctl(libc, PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    if pass_closed_folders and libc is not None:
        _keep_one_capability(libc)


def main() -> None:
    """Apply the JSON plan of the first argument, then become the program of the second."""
    plan = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    try:
        if plan["uid"] is not None:
            _become(libc, plan["uid"], plan["pass_closed_folders"])
        if libc is not None:  # after the change of user, which clears it
            _prctl(libc, PR_SET_PDEATHSIG, plan["death_signal"])
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[2]} with reduced rights: {error}\n")
        sys.exit(EXIT_CANNOT_DROP)
    if os.getppid() != plan["parent"]:  # the launcher died before prctl took effect
        sys.exit(EXIT_CANNOT_DROP)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a fixed program of the stack


if __name__ == "__main__":
    main()
