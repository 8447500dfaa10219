"""The apps that are there from the start, their keys and settings; and who is let in.

Sources: DESIGN.md (keys, rulings on data), FACTS.md 002 §1 (authentication) and §10 (configuration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.backends import Ask
from emulator.errors import Refused
from emulator.wire.bearer import credentials
from emulator.world.session import World


@dataclass(frozen=True, slots=True)
class Control:
    """One control of an input form. `kind` is `text-input`, `paragraph` or `select`."""

    kind: str
    variable: str
    label: str
    required: bool = False
    default: str = ""
    max_length: int | None = None
    options: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As `/parameters` shows it."""
        control: dict[str, Any] = {
            "label": self.label,
            "variable": self.variable,
            "required": self.required,
            "default": self.default,
        }
        if self.kind == "select":
            control["options"] = list(self.options)
        elif self.max_length is not None:
            control["max_length"] = self.max_length
        return {self.kind: control}


@dataclass(frozen=True, slots=True)
class VariableKind:
    """A conversation variable as a flow declares it."""

    name: str
    type: str
    value: Any
    description: str


@dataclass(frozen=True, slots=True)
class App:
    """One app. `key` is also the name by which everything of the app is derived."""

    key: str
    mode: str
    name: str
    description: str
    tags: tuple[str, ...]
    opening: str
    questions: tuple[str, ...]
    form: tuple[Control, ...] = ()
    suggests: bool = True
    cites: bool = False
    hears: bool = True
    speaks: bool = True
    images: int = 3
    icons: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[VariableKind, ...] = ()
    site: bool = True
    emoji: str = "🤖"
    colour: str = "#4A90D9"

    def id_in(self, ask: Ask) -> str:
        """The app's id in this session."""
        return self.id_of(ask.world)

    def id_of(self, world: World) -> str:
        """The app's id in a world."""
        return world.seed.fixed_uuid("app", self.key)


CITY = Control("text-input", "city", "City", max_length=48)

APPS: Mapping[str, App] = {
    app.key: app
    for app in (
        App(
            key="app-emulator",
            mode="chat",
            name="Travel Desk",
            description="Answers questions about trips, packing and timetables.",
            tags=("travel", "assistant"),
            opening="Hello! Where would you like to go?",
            questions=("What can I do on a rainy day?", "三天的行程怎么安排？", "What should I pack?"),
            form=(CITY,),
            cites=True,
        ),
        App(
            key="app-emulator-agent",
            mode="agent-chat",
            name="Workshop Agent",
            description="Looks things up, calculates and draws with its tools.",
            tags=("agent", "tools"),
            opening="Hi, tell me what you need and I will use my tools.",
            questions=("Draw a lighthouse at dusk.", "What is 17 * 23?"),
            suggests=False,
            icons={
                "draw_picture": "https://example.com/icons/draw_picture.png",
                "calculator": {"background": "#4A90D9", "content": "🧮"},
                "web_search": {"background": "#F2F5F8", "content": "🔎"},
            },
            emoji="🛠️",
            colour="#2F855A",
        ),
        App(
            key="app-emulator-flow",
            mode="advanced-chat",
            name="Order Desk",
            description="Guides through an order and remembers what was said.",
            tags=("flow", "orders"),
            opening="Welcome to the order desk in {{city}}. How can I help?",
            questions=("Where is my order?", "我想修改收货地址。"),
            form=(
                Control("text-input", "city", "City", required=True, max_length=48),
                Control("select", "priority", "Priority", default="normal", options=("low", "normal", "high")),
            ),
            variables=(
                VariableKind("customer_name", "string", "", "How the customer wants to be called."),
                VariableKind("order_count", "integer", 0, "Orders talked about so far."),
                VariableKind("discount", "float", 0.05, "Discount that was promised."),
                VariableKind("is_member", "boolean", False, "Whether the customer is a member."),
                VariableKind("address", "object", {"city": "", "street": ""}, "Where to deliver."),
                VariableKind("wishes", "array[string]", [], "What the customer asked for."),
            ),
            emoji="📦",
            colour="#B7791F",
        ),
    )
}


def authenticate(ask: Ask) -> App:
    """The app whose key the call carries. Raises Refused `unauthorized`; the scheme's case does not matter."""
    given = credentials(ask.call.headers)
    if given is None or given.token is None:
        raise Refused("unauthorized", "Authorization header must be provided and start with 'Bearer'")
    if given.scheme != "bearer":
        raise Refused("unauthorized", "Authorization scheme must be 'Bearer'")
    key = given.token
    app = APPS.get(ask.settings.keys.get("dify", {}).get(key, key))
    if app is None:
        raise Refused("unauthorized", "Access token is invalid")
    return app
