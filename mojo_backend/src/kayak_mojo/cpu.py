"""What this machine's processor can execute. Standard library only: the build hook uses it too."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from pathlib import Path

X86_LEVELS = ("x86-64-v4", "x86-64-v3", "x86-64-v2")
"""Levels of the x86-64 psABI for which libraries are built, best first."""

ARM_LEVEL = "aarch64"
"""The one level of 64-bit Arm: ARMv8-A with NEON."""

LEVELS = (*X86_LEVELS, ARM_LEVEL)

_X86_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
_ARM_FIELDS = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features")
_SYSCTL = "/usr/sbin/sysctl"
_CPUINFO = Path("/proc/cpuinfo")
# Names as Linux prints them; its list leaves out what the operating system does not save on a switch of context.
_V2 = frozenset("cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3".split())
_V3 = _V2 | frozenset("abm avx avx2 bmi1 bmi2 f16c fma movbe xsave".split())
_V4 = _V3 | frozenset("avx512bw avx512cd avx512dq avx512f avx512vl".split())
_NEEDED = dict(zip(X86_LEVELS, (_V4, _V3, _V2), strict=True))
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def machine() -> str:
    """Return the processor's architecture: "x86_64", "aarch64", or what the platform calls another one."""
    name = platform.machine().lower()
    return _MACHINES.get(name, name)


@functools.cache
def levels() -> tuple[str, ...]:
    """Return the levels that this processor executes, best first; empty where none is known."""
    if machine() == "aarch64":
        return (ARM_LEVEL,)
    if machine() != "x86_64" or sys.platform != "linux":
        return ()
    return x86_levels(_cpuinfo_field("flags"))


def x86_levels(flags: str) -> tuple[str, ...]:
    """Return the x86-64 levels that a processor with these flags of /proc/cpuinfo executes, best first."""
    present = frozenset(flags.split())
    return tuple(level for level in X86_LEVELS if _NEEDED[level] <= present)


@functools.cache
def identity() -> str:
    """Return a name of this exact kind of processor: code compiled for it runs where the name is equal."""
    if sys.platform == "darwin":
        command = [_SYSCTL, "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - of the system
        facts = [done.stdout.strip()]
    else:
        facts = [_cpuinfo_field(field) for field in (*_X86_FIELDS, *_ARM_FIELDS)]
    digest = hashlib.sha256("\n".join([sys.platform, machine(), *facts]).encode()).hexdigest()[:16]
    return f"{machine()}-{digest}"


def _cpuinfo_field(field: str) -> str:
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not mounted: then nothing is known of the processor
        return ""
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator and name.strip() == field:
            return " ".join(sorted(value.split())) if field in ("flags", "Features") else value.strip()
    return ""
