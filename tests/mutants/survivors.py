"""Mutants that no check finds, and why. A survivor that is not here fails `make mutants`."""

from __future__ import annotations

import re

REASONS: tuple[tuple[str, str], ...] = ()
"""(Pattern of names, why nothing finds it.) First match."""


def reason(mutant: str) -> str | None:
    """Why a mutant survives; None where nobody has said."""
    return next((why for pattern, why in REASONS if re.search(pattern, mutant)), None)
