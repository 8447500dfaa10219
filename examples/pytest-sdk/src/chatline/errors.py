"""What can go wrong, by what a caller may do about it."""

from __future__ import annotations


class ChatError(Exception):
    """Anything below."""


class Refused(ChatError):
    """The service says no, and will say so again. `code` is its word for it, such as `invalid_param`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.status = status
        self.code = code


class TooMany(Refused):
    """It said so to every attempt, or could not be reached by any."""


class Failed(ChatError):
    """The model failed in the middle of an answer; `text` is what came before."""

    def __init__(self, code: str, message: str, text: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.text = text


class Broken(ChatError):
    """The answer broke off, or was no answer; `text` is what came before. Whether the service has kept it, only its
    history tells."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(why)
        self.text = text
