"""Where a backend stands: what `--url` says, taken apart and judged before anything is called."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from emulator.contract.document import Document
from emulator.errors import Misused

HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
"""What clients read alike: a name or an address, and a port."""


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
    if not HOST.fullmatch(parts.netloc) or "\\" in given:
        raise Misused("Malformed URL", f"--url wants a host by its name or address, and no backslash; got {given!r}.")
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
    """Whether a host is this machine. A name is asked for only where it should be (RFC 6761)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    if host != "localhost" and not host.endswith(".localhost"):
        return False
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        # It cannot be called either.
        return False
    return all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
