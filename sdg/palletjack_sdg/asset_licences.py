"""Which licences let a pack's files into a data set that may be sold, shared and trained on."""

from __future__ import annotations

import re

# SPDX identifiers. Those of the second row ask for a name to be said.
FREE = ("CC0-1.0", "0BSD", "Unlicense", "PDDL-1.0", "public-domain")
ATTRIBUTED = (
    "CC-BY-3.0",
    "CC-BY-4.0",
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Zlib",
    "ISC",
)
OWN = "LicenseRef-own"


class LicenceError(ValueError):
    """A licence that keeps a pack out; the message says what is permitted."""


def judge_licence(licence: str, attribution: str) -> bool:
    """Return whether an attribution must be shipped with the data.

    Raises:
        LicenceError: the licence is not one of those above, or its attribution is missing. Share-alike,
            non-commercial and no-derivatives terms would bind the frames, or forbid them.
    """
    if licence in FREE or licence == OWN:
        return False
    if licence not in ATTRIBUTED:
        reason = (
            "its terms would bind rendered frames" if re.search(r"-(SA|NC|ND)\b|GPL", licence) else "unknown"
        )
        raise LicenceError(
            f"licence: expected one of {', '.join((*FREE, *ATTRIBUTED, OWN))}, found {licence!r} ({reason})"
        )
    if licence.startswith("CC-BY") and not attribution.strip():
        raise LicenceError(f"attribution: expected who made it, as {licence} asks, found none")
    return True
