"""Who may use the control API: this machine and its own pages, or whoever has the token.

Refuses what a hostile web page could send: a `Host` that is no loopback name (DNS rebinding), an `Origin` or
`Sec-Fetch-Site` of somebody else. Bound beyond loopback only the bearer token counts.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

from emulator.errors import Misused

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)


def check(headers: Mapping[str, Sequence[str]], scheme: str, token: str | None) -> None:
    """Raise Misused (403, or 401 for the token) unless the caller may use the control API. `headers` are all values by
    lower-case name; `token` is None when the server is bound to loopback."""
    if token is not None:
        given = "".join(headers.get("authorization", ()))
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Misused("Token needed", "Send the token that was printed at start as a bearer token.", status=401)
        return
    # All of them: what stands twice is no browser's and no client's of ours.
    host = ",".join(headers.get("host", ()))
    if not LOOPBACK_HOST.fullmatch(host):
        raise Misused("Not a loopback host", f"The control API does not answer for the host {host[:80]!r}.", status=403)
    for origin in headers.get("origin", ()):
        if origin != f"{scheme}://{host}":
            raise Misused("Not the same origin", f"The control API does not answer to {origin[:80]!r}.", status=403)
    for site in headers.get("sec-fetch-site", ()):
        if site not in ("none", "same-origin"):
            raise Misused("Not the same origin", "The control API answers to its own pages only.", status=403)
