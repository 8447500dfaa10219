"""Values: `{{ … }}` in a scenario's texts, worked out for each call.

Owns the expressions: which names, functions, filters and operators there are, and the bounds of what comes out. They
are Jinja2's, in its sandbox, but for what could run away: there are no statements, no powers, no repeated texts, no
attributes of Python's objects, and no calls but of the functions here. A client's text is data and is never read as a
template. Jinja2 is imported when the first expression is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emulator.source import Pointer
from emulator.world.clock import iso
from emulator.world.seed import as_uuid

if TYPE_CHECKING:
    from emulator.streams.scene import Scene

OPEN, CLOSE = "{{", "}}"
LONGEST = 64 * 1024
"""Characters of a text with values in it, and of what one comes to; also the most values in a made list or mapping."""
LONGEST_EXPRESSION = 2_000
MOST_NODES = 200
DEEPEST_EXPRESSION = 30
MOST_MADE = 4 * 1024 * 1024
"""Characters that all values of one scenario may come to in one call."""
MOST_BITS = 1_024
DEEPEST_VALUE = 64

MEMBERS: Mapping[str, tuple[str, ...]] = {
    "request": ("body", "headers", "query", "path", "method", "url", "operation"),
    "session": ("name", "seed"),
}
"""Names that have these members, and no others."""
FUNCTIONS = ("uuid", "iso")
NAMES = (*MEMBERS, "state", "nth", "play", "turn", "index", "now", "fake", *FUNCTIONS)
"""What an expression can name. `index` is there inside of `repeat` only."""
FAKES = (
    "address",
    "bban",
    "boolean",
    "bothify",
    "bs",
    "building_number",
    "catch_phrase",
    "city",
    "color_name",
    "company",
    "company_suffix",
    "country",
    "country_code",
    "cryptocurrency_code",
    "cryptocurrency_name",
    "currency_code",
    "currency_name",
    "currency_symbol",
    "domain_name",
    "domain_word",
    "ean13",
    "email",
    "emoji",
    "file_name",
    "first_name",
    "free_email",
    "hex_color",
    "hostname",
    "http_method",
    "iban",
    "image_url",
    "ipv4",
    "ipv4_private",
    "ipv6",
    "isbn10",
    "isbn13",
    "job",
    "language_code",
    "language_name",
    "last_name",
    "license_plate",
    "locale",
    "mac_address",
    "md5",
    "mime_type",
    "name",
    "numerify",
    "paragraph",
    "phone_number",
    "port_number",
    "postcode",
    "prefix",
    "random_digit",
    "random_int",
    "random_letter",
    "rgb_color",
    "safe_color_name",
    "safe_email",
    "sentence",
    "slug",
    "state",
    "street_address",
    "street_name",
    "suffix",
    "swift",
    "text",
    "timezone",
    "tld",
    "uri",
    "user_name",
    "vin",
    "word",
)
"""What `fake` can make: those of Faker's providers that need no argument, give a short text or number, and do not look
at a clock."""
TESTS = (
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "integer",
    "float",
    "boolean",
    "mapping",
    "sequence",
    "odd",
    "even",
    "divisibleby",
)


class Mistake(Exception):
    """Something in a scenario cannot be used: where it stands, and what was expected."""

    def __init__(self, pointer: Pointer, what: str) -> None:
        super().__init__(what)
        self.pointer = pointer
        self.what = what


@dataclass(frozen=True, slots=True)
class Template:
    """A text with values: its `parts` are texts and expressions in turn. One that is a single expression gives that
    one's value as it is."""

    pointer: Pointer
    parts: tuple[str | Callable[..., Any], ...]


def compiled(data: Any, pointer: Pointer, looped: bool) -> Any:
    """`data` with a Template for each of its texts that has a value in it, the same object where none has. `looped`
    says that it stands in a `repeat`. Raises Mistake."""
    if isinstance(data, str):
        if "{%" in data and "%}" in data:
            raise Mistake(pointer, "there are no statements such as {% if %} here, only expressions in {{ }}")
        return _template(data, pointer, looped) if OPEN in data else data
    if isinstance(data, dict):
        made = {name: compiled(one, (*pointer, name), looped) for name, one in data.items()}
        return made if any(made[name] is not data[name] for name in data) else data
    if isinstance(data, list):
        items = [compiled(one, (*pointer, number), looped) for number, one in enumerate(data)]
        return items if any(new is not old for new, old in zip(items, data, strict=True)) else data
    return data


def _template(text: str, pointer: Pointer, looped: bool) -> Template:
    if len(text) > LONGEST:
        raise Mistake(pointer, f"a text with values in it may have {LONGEST} characters")
    parts: list[str | Callable[..., Any]] = []
    rest = 0
    while (begin := text.find(OPEN, rest)) >= 0:
        end = _end(text, begin + 2)
        if end < 0:
            raise Mistake(pointer, "a {{ without its }}; to say {{ itself write {{ '{{' }}")
        parts += [text[rest:begin]] if begin > rest else []
        try:
            parts.append(_expression(text[begin + 2 : end], looped))
        except Mistake as mistake:
            raise Mistake(pointer, mistake.what) from mistake
        rest = end + 2
    parts += [text[rest:]] if rest < len(text) else []
    return Template(pointer, tuple(parts))


def _end(text: str, at: int) -> int:
    """Where the expression that begins at `at` ends; braces and quotes inside of it count. -1 for nowhere."""
    depth, quote = 0, ""
    while at < len(text):
        one = text[at]
        if quote:
            at += one == "\\"
            quote = "" if one == quote else quote
        elif one in "\"'":
            quote = one
        elif one in "([{":
            depth += 1
        elif not depth and text.startswith(CLOSE, at):
            return at
        elif one in ")]}":
            depth -= 1
        at += 1
    return -1


@lru_cache(maxsize=1_024)
def _expression(source: str, looped: bool) -> Callable[..., Any]:
    from emulator.streams import expressions

    return expressions.compiled(source, looped)


class Fake:
    """Faker for one place of a scenario: each value derives from that place and from how many were made there."""

    def __init__(self, seed: Any, key: str) -> None:
        self._seed = seed
        self._key = key
        self._made = 0

    def value(self, name: str) -> Any:
        """One value of this kind."""
        made = getattr(self._seed.faker("fake", self._next()), name)()
        return list(made) if isinstance(made, tuple) else made

    def uuid(self) -> str:
        """One UUID."""
        return as_uuid(self._seed.fixed("scenario-uuid", self._next()))

    def _next(self) -> str:
        self._made += 1
        return f"{self._key}\x00{self._made}"


class Headers(dict[str, str]):
    """Request headers by lower-case name, asked for in any case."""


class States(dict[str, Any]):
    """Scenario states. One that was never set counts as false, so that `state.left or 3` begins with 3."""


class Names:
    """What expressions can name in one call. `at` gives the same with the `index` of a repeat."""

    def __init__(self, scene: Scene, scenario: str) -> None:
        self._scene = scene
        self._scenario = scenario
        self._made = [0]
        self.indices: tuple[int, ...] = ()
        self._there: dict[str, Any] = {
            "request": {
                "body": scene.body,
                "headers": Headers(scene.headers),
                "query": scene.query,
                "path": scene.path,
                "method": scene.method,
                "url": scene.url,
                "operation": scene.operation,
            },
            "session": {"name": scene.session, "seed": scene.seed.number},
            "state": States(scene.states),
            "nth": scene.nth,
            "play": scene.play,
            "turn": scene.turn,
            "now": int(scene.now),
            "iso": iso,
        }

    def inside(self, index: int) -> Names:
        """The names inside of one round of a repeat."""
        inner = Names.__new__(Names)
        inner._scene, inner._scenario, inner._made = self._scene, self._scenario, self._made
        inner.indices = (*self.indices, index)
        inner._there = self._there | {"index": index}
        return inner

    def filled(self, data: Any) -> Any:
        """`data` with the value of each Template in it. Raises Mistake for one that has none, or too large a one."""
        if isinstance(data, Template):
            return self._value(data)
        if isinstance(data, dict):
            return {name: self.filled(one) for name, one in data.items()}
        if isinstance(data, list):
            return [self.filled(one) for one in data]
        return data

    def _value(self, template: Template) -> Any:
        key = "\x00".join(map(str, (self._scenario, self._scene.play, *self.indices, *template.pointer)))
        fake = Fake(self._scene.seed, key)
        there = self._there | {"fake": fake, "uuid": fake.uuid}
        try:
            values = [part if isinstance(part, str) else part(there) for part in template.parts]
            whole = values[0] if len(values) == 1 else _joined(values)
            self._made[0] += size_of(whole)
        except Exception as error:  # a client's values may be anything, and no expression may end a call with a 5xx
            raise Mistake(template.pointer, f"the value cannot be worked out: {_short(error)}") from error
        if self._made[0] > MOST_MADE:
            raise Mistake(template.pointer, f"all values of a call may come to {MOST_MADE} characters")
        return whole


def _joined(values: list[Any]) -> str:
    size, texts = 0, []
    for value in values:
        size_of(value)
        text = written(value)
        size += len(text)
        if size > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters")
        texts.append(text)
    return "".join(texts)


def written(value: Any) -> str:
    """A value inside of a text: text as it is, the rest as in JSON."""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)


def size_of(value: Any) -> int:
    """How many characters and values there are in `value`. Raises ValueError for more than `LONGEST`, and for what is
    no JSON."""
    size, waiting = 0, [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        size += 1
        if isinstance(one, str):
            size += len(one)
            one.encode()
        elif isinstance(one, Mapping):
            size += sum(len(name) for name in one)
            waiting += [(inner, depth + 1) for inner in one.values()] if size <= LONGEST else []
        elif isinstance(one, list | tuple):
            size += len(one)
            waiting += [(inner, depth + 1) for inner in one] if size <= LONGEST else []
        else:
            _check_scalar(one)
        if size > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters")
        if depth > DEEPEST_VALUE:
            raise ValueError(f"it is nested deeper than {DEEPEST_VALUE} levels")
    return size


def _check_scalar(value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise ValueError("the number is too large")
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("the number is not finite")
        return
    fail = getattr(value, "_fail_with_undefined_error", None)
    if fail is not None:
        fail()
    raise ValueError("it is no text, number, list or mapping")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "…"
