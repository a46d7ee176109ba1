"""What this machine's processor is good at, as far as Linux tells.

Without an instruction for dot products of 8-bit integers an INT8 network is slower than the same in FP32: on
an EPYC with AVX2 the flagship takes 122 ms instead of 99. It finds a little less as well, for ONNX Runtime's
kernels there add two products in 16 bits, where a large sum is cut off.
"""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# x86: VNNI, with 512 or 256 bits; ARM: SDOT.
_DOT_PRODUCTS = frozenset(("avx512_vnni", "avx_vnni", "asimddp"))
_LISTS = ("flags", "Features")


def multiplies_int8(cpu_info: Path = CPU_INFO) -> bool:
    """Whether the processor has dot products of 8-bit integers; True where that cannot be told."""
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    for line in lines:
        name, _, words = line.partition(":")
        if name.strip() in _LISTS:
            return not _DOT_PRODUCTS.isdisjoint(words.split())
    return True
