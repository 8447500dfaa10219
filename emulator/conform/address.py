"""Where a backend stands: what `--url` says, taken apart and judged before anything is called."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from emulator.contract.document import Document
from emulator.errors import Misused


@dataclass(frozen=True, slots=True)
class Address:
    """The base of a backend. `url` has no slash at its end; the spec's paths are added to it."""

    url: str
    path: str
    loopback: bool


def address(given: str, document: Document) -> Address:
    """What `--url` means for a spec. Raises Misused for what could only be guessed at."""
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Misused("Malformed URL", f"--url {given!r} cannot be read: {error}.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Misused("Malformed URL", f"--url wants http://… or https://…, got {given!r}.")
    if "@" in parts.netloc:
        raise Misused("Malformed URL", "--url must not hold a name or password; give them as --header.")
    if parts.query or parts.fragment or any(not "!" <= letter <= "~" for letter in given):
        raise Misused("Malformed URL", f"--url is a base, without ?, #, blanks and other signs; got {given!r}.")
    path = parts.path.rstrip("/")
    if document.base and not path.endswith(document.base) and not parts.path.endswith("/"):
        raise Misused(
            "Unclear base",
            f"The paths of {document.name} stand below {document.base}, which --url does not end in. Give "
            f"{given}{document.base}, or, where they stand right below it, {given}/ with the slash.",
        )
    origin = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"
    return Address(origin + path, path, _loopback(host))


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
