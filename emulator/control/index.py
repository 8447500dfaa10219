"""The page at `/`: what is served here, for a person with a browser."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from emulator.service import Service

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem;color:#1c2733}"
    "code,pre{font:14px/1.5 ui-monospace,monospace;background:#f2f5f8;border-radius:4px}code{padding:.1em .35em}"
    "pre{padding:1rem;overflow:auto}h2{margin-top:2.5rem;border-top:1px solid #dde4ea;padding-top:1rem}"
    "table{border-collapse:collapse}td{padding:.2rem 1rem .2rem 0;vertical-align:top}a{color:#0b62c4}"
)


def _older(service: Service, spec: str) -> str:
    """Links to the spec for tools that do not read its version of OpenAPI."""
    from emulator.contract.rendition.render import available

    _, *older = available(service.document.raw)
    links = " ".join(f"<a href='{spec}.json?version={version}'>{version}</a>" for version in older)
    return f" (as OpenAPI {links})" if links else ""


def page(services: Mapping[str, Service], origin: str) -> str:
    """The page as HTML. `origin` is the address that the browser used."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>chat-emulator</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{STYLE}</style><h1>chat-emulator</h1>",
        "<p>These backends answer here. Nothing leaves this machine.</p>",
    ]
    for service in services.values():
        backend = service.backend
        base = f"{origin}/{service.name}{service.bases()[0]}"
        rows = "".join(f"<tr><td><code>{escape(one.value)}</code><td>{escape(one.what)}" for one in backend.credentials)
        names = " ".join(f"<code>{escape(name)}</code>" for name in service.scenarios.names())
        spec = f"/{service.name}/openapi"
        parts.append(
            f"<h2>{escape(backend.title)}</h2><p>Base URL <code>{escape(base)}</code> · "
            f"{len(service.document.operations)} operations · "
            f"<a href='{spec}.json'>openapi.json</a> <a href='{spec}.yaml'>openapi.yaml</a>{_older(service, spec)}</p>"
            f"<table>{rows}</table><p>Scenarios (send one as <code>X-Emulator-Scenario</code>, or begin a chat text "
            f"with <code>/scenario NAME</code>): {names}</p>"
        )
    return "".join(parts)
