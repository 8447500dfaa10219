"""What a machine or a browser reads: a JUnit file, and a page that needs nothing beside it."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

from emulator.conform.curl import Secrets
from emulator.conform.outcome import Finding, Outcome
from emulator.conform.plan import Plan, label
from emulator.conform.report import LINES, elsewhere, explained, notes, rows, summary, title, trouble

# XML has no way at all to say these.
UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1d2530; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; }
tr { border-bottom: 1px solid #dde2e8; } .n { text-align: right; } .bad { color: #b3261e; } .good { color: #1c6b3c; }
pre { background: #f3f5f8; padding: .6rem; overflow-x: auto; white-space: pre-wrap; word-break: break-all; }
dt { font-weight: 600; margin-top: .4rem; } dd { margin: 0; overflow-wrap: anywhere; } article { margin: 2rem 0; }
h2 { font-size: 1.05rem; } code { font-size: .92em; }
@media (prefers-color-scheme: dark) {
  body { background: #14181d; color: #dfe5ec; } pre { background: #1f252d; } tr { border-color: #333c47; }
  .bad { color: #ff8a80; } .good { color: #7fd99a; }
}
"""


def junit(plan: Plan, outcome: Outcome, secrets: Secrets) -> str:
    """A test case for each operation, with a failure for each finding."""
    name = f"chat-emulator conform {plan.document.name}"
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", name=name, time=f"{outcome.seconds:.3f}")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)

    def case(called: str, found: list[Finding], skipped: bool) -> None:
        counts["tests"] += 1
        element = ET.SubElement(suite, "testcase", classname=name, name=_sayable(called))
        # Cases that failed, not findings: there must be no more of them than cases.
        counts["failures"] += bool(found)
        for finding in found:
            lines = [title(plan, finding)]
            lines += [f"{word}: {text}" for word, text in explained(plan, outcome, finding, secrets)]
            failure = ET.SubElement(element, "failure", type=finding.check, message=_sayable(lines[1]))
            failure.text = _sayable("\n".join(lines))
        if skipped and not found:
            counts["skipped"] += 1
            ET.SubElement(element, "skipped", message="never called")

    for one, tally, found in rows(plan, outcome):
        case(f"{one.id} ({label(one)})", found, not tally.calls)
    if elsewhere(plan, outcome):
        case("the whole run", elsewhere(plan, outcome), skipped=False)
    told = trouble(plan, outcome)
    if told:
        counts["tests"] += 1
        counts["errors"] += 1
        element = ET.SubElement(suite, "testcase", classname=name, name="the run")
        ET.SubElement(element, "error", message=_sayable(secrets.hide("; ".join(told))))
    ET.SubElement(suite, "system-out").text = _sayable(
        "\n".join([summary(plan, outcome), *map(secrets.hide, notes(plan, outcome))])
    )
    for key, count in counts.items():
        suite.set(key, str(count))
        suites.set(key, str(count))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _sayable(text: str) -> str:
    return UNSAYABLE.sub("�", text)


def page(plan: Plan, outcome: Outcome, secrets: Secrets) -> str:
    """The page."""
    say = _escaped
    ordered = [finding for _, _, found in rows(plan, outcome) for finding in found] + elsewhere(plan, outcome)
    lines = []
    for one, tally, found in rows(plan, outcome):
        kind = "bad" if found else "good" if tally.calls else ""
        lines.append(
            f"<tr><td><code>{say(one.id)}</code></td><td><code>{say(label(one))}</code></td>"
            f'<td class="n">{tally.calls}</td><td class="n">{tally.accepted}</td>'
            f'<td class="n">{tally.passed}/{len(tally.checks)}</td><td class="n {kind}">{len(found)}</td></tr>'
        )
    blocks = []
    for number, finding in enumerate(ordered, 1):
        parts = [f'<article id="f{number}"><h2>{number}. {say(title(plan, finding))}</h2><dl>']
        for word, text in explained(plan, outcome, finding, secrets):
            shape = f"<pre>{say(text)}</pre>" if word in {*LINES, "reply"} else say(text)
            parts.append(f"<dt>{say(word)}</dt><dd>{shape}</dd>")
        blocks.append("".join([*parts, "</dl></article>"]))
    why = trouble(plan, outcome)
    told = [secrets.hide(one) for one in [*why, *notes(plan, outcome)]]
    heads = ("operation", "call", "calls", "2xx", "checks passed", "findings")
    kind = "bad" if outcome.findings or why else "good"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{say(plan.document.name)}: {say(summary(plan, outcome))}</title>",
            f"<style>{STYLE}</style></head><body>",
            f"<h1>{say(plan.document.name)} at {say(plan.address.url)}</h1>",
            f'<p class="{kind}">{say(summary(plan, outcome))}</p>',
            f"<p>{say(plan.how)}</p>",
            *(f"<p>{say(one)}</p>" for one in told),
            f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>",
            *lines,
            "</tbody></table>",
            *blocks,
            "</body></html>",
        ]
    )


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())
