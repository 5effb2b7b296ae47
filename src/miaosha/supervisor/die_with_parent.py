"""Die with parent: makes a program that is not ours end when its parent dies, even by KILL.

The kernel's parent-death signal survives exec. So a tiny interpreter asks for it and then becomes
the program. Nothing is written to disk, and no extra process stays.
"""

import os
import sys
from collections.abc import Sequence

_BECOME = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,15);"  # PR_SET_PDEATHSIG, SIGTERM
    "os.getppid()==int(sys.argv[1]) or sys.exit(0);"  # the parent ended before we could ask
    "os.execv(sys.argv[2],sys.argv[2:])"
)


def die_with_parent(argv: Sequence[str]) -> list[str]:
    """`argv` (its first word an absolute path) as a command that dies with this process."""
    return [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *argv]
