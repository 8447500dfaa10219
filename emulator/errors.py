"""The errors that cross a layer, and the words for a wrong name.

Owns exceptions and nothing else. `Refused` is a backend speaking (rendered in its own envelope), `Misused` is the
emulator speaking (rendered as RFC 9457 problem details), `Broken` is a file that cannot be used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Refused(Exception):
    """A behaviour declines a call. The backend's dialect turns it into its own error body.

    `code` is a key of the backend's error table, `message` None takes the table's text, `status` None its status.
    """

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.status = status


class Misused(Exception):
    """The emulator itself is asked for something it does not have (a scenario, an example, a session name).

    Rendered as `application/problem+json` with `title`, `detail` and the `available` names.
    """

    def __init__(self, title: str, detail: str, available: Iterable[str] = (), status: int = 400) -> None:
        super().__init__(detail)
        self.title = title
        self.detail = detail
        self.available = tuple(available)
        self.status = status


class Broken(Exception):
    """A file that cannot be used: a spec, a scenario, a setting. `str()` is `file:line:column: what is wrong`."""

    def __init__(self, file: str, what: str, line: int | None = None, column: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}" if column is None else f"{file}:{line}:{column}"
        super().__init__(f"{place}: {what}")
        self.file = file
        self.what = what
        self.line = line
        self.column = column


def nearest(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Up to `most` of `names` that look like `name`, best first; all short lists are searched case-insensitively."""
    folded = {candidate.casefold(): candidate for candidate in names}
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), list(folded), most, 0.5)]
