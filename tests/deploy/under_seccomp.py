"""under_seccomp.py PROFILE PROGRAM ARGUMENT...: the program under the system calls that an OCI profile allows."""

import json
import os
import sys

import seccomp

with open(sys.argv[1], encoding="utf-8") as file:
    profile = json.load(file)
filter = seccomp.SyscallFilter(seccomp.ERRNO(profile["defaultErrnoRet"]))
for rule in profile["syscalls"]:
    for name in rule["names"]:
        try:
            filter.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, OSError):
            pass  # another architecture's, as runc passes over it
filter.load()
os.execv(sys.argv[2], sys.argv[2:])
