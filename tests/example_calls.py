"""Every operation of every spec, and the call that its own examples describe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx
import pytest

from emulator.app import open_services
from emulator.contract.document import Document, Operation
from emulator.contract.synthesis import value_for
from emulator.service import Service
from emulator.settings import Settings
from emulator.world.seed import Seed

SERVICES = open_services(Settings())
BEARERS = {"dify": "app-emulator", "ruoyi": "emulator-token", "toolchat": "emulator-token"}
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(32)
SOUND = bytes(64)


def every_operation() -> Iterator[Any]:
    for service in SERVICES.values():
        for operation in service.document.operations.values():
            yield pytest.param(service, operation, id=f"{service.name}-{operation.id}")


class HasUrl(Protocol):
    """A server that runs."""

    @property
    def url(self) -> str: ...


def call_example(
    server: HasUrl, service: Service, operation: Operation, session: str, number: int = 0, **more: str
) -> httpx.Response:
    """The call that the operation's examples describe, with the body of this number, and `more` headers (`_` for
    `-`)."""
    request = list(example_requests(service, operation))[number]
    headers = {"X-Emulator-Session": session, **request.pop("headers")}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    url = server.url + request.pop("url")
    return httpx.request(request.pop("method"), url, headers=headers, timeout=30, verify=False, **request)


def example_requests(service: Service, operation: Operation) -> Iterator[dict[str, Any]]:
    """Arguments of httpx, with the address below the server, for each body that the examples show."""
    document = service.document
    path, query, headers = operation.path, {}, {}
    for parameter in operation.parameters:
        value = example_of(document, parameter)
        if value is None:
            continue
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(str(value), safe=""))
        elif parameter["in"] == "query" and (parameter.get("required") or parameter["name"] == "user"):
            query[parameter["name"]] = str(value)
    if service.name in BEARERS:
        headers["Authorization"] = f"Bearer {BEARERS[service.name]}"
    url = f"/{service.name}{service.bases()[0]}{path}" + (f"?{urlencode(query)}" if query else "")
    for body in bodies_of(document, operation):
        yield {"method": operation.method, "url": url, "headers": headers, **body}


def example_of(document: Document, parameter: Mapping[str, Any]) -> Any:
    if "example" in parameter:
        return parameter["example"]
    for example in (parameter.get("examples") or {}).values():
        return document.resolve(example).get("value")
    if parameter.get("required"):
        return value_for(document, parameter["schema"], Seed(0, "test").rng("parameter"))
    return None


def bodies_of(document: Document, operation: Operation) -> list[dict[str, Any]]:
    """Arguments of httpx for each body that the examples show."""
    content = (operation.request_body or {}).get("content", {})
    if "application/json" in content:
        media = content["application/json"]
        found = [document.resolve(example)["value"] for example in (media.get("examples") or {}).values()]
        if "example" in media:
            found.append(media["example"])
        return [
            {"json": value} for value in found or [value_for(document, media["schema"], Seed(0, "test").rng("body"))]
        ]
    for media_type, media in content.items():
        return [form_of(document, media_type, media, operation)]
    return [{}]


def form_of(document: Document, media_type: str, media: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    schema = document.resolve(media["schema"])
    members = {name: document.resolve(member) for name, member in schema.get("properties", {}).items()}
    fields: dict[str, str] = {}
    files: list[tuple[str, tuple[str | None, bytes, str | None]]] = []
    for name, member in members.items():
        inner = document.resolve(member.get("items", {}))
        if "binary" in (member.get("format"), inner.get("format")):
            files.append((name, upload_for(operation)))
        elif name in schema.get("required", ()):
            fields[name] = "someone-new" if name != "user" else "abc-123"
    if media_type == "multipart/form-data" and not files:
        files = [(name, (None, value.encode(), None)) for name, value in fields.items()]
        fields = {}
    return {"data": fields, "files": files or None}


def upload_for(operation: Operation) -> tuple[str, bytes, str]:
    if "audio" in operation.id.lower():
        return ("speech.mp3", SOUND, "audio/mp3")
    if "import" in operation.id.lower():
        content = {"title": "Imported", "messages": [{"role": "user", "content": "Hi"}]}
        return ("chats.json", json.dumps(content).encode(), "application/json")
    return ("photo.png", PICTURE, "image/png")
