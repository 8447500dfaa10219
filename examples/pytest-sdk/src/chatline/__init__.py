"""A small client for the Dify chat API: streams, retries, typed errors."""

from __future__ import annotations

from chatline.client import Answer, Chat
from chatline.errors import Broken, ChatError, Failed, Refused, TooMany

__all__ = ["Answer", "Broken", "Chat", "ChatError", "Failed", "Refused", "TooMany"]
