"""What a backend is, and which there are.

A backend is one spec (`specs/NAME.yaml`), one module here with a `BACKEND`, and one scenario folder, all of the same
stem. Nothing lists them: `names` looks at the specs. Backends do not know each other; what two share lives in
`emulator.world`, `emulator.streams` or here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from emulator.call import Call, Headers, Part, Reply, Stream, Violation
from emulator.contract.document import Document, Operation
from emulator.errors import Broken, Refused
from emulator.fault import Fault
from emulator.settings import Settings
from emulator.streams.steps import VERBS, Step
from emulator.world.session import Session, World


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the document and the running system disagree. `source` says where each is from."""

    name: str
    documented: str
    observed: str
    source: str


@dataclass(slots=True)
class Ask:
    """One call on its way, as a behaviour sees it.

    `path`, `query` and `body` hold judged values; `caller` is what `authenticate` returned; `script` the steps of the
    scenario that was chosen, None for the behaviour's own. `faults` are what is to be done to the answer on its way.
    """

    call: Call
    settings: Settings
    session: Session
    backend: Backend
    document: Document
    operation: Operation | None = None
    caller: Any = None
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    parts: tuple[Part, ...] = ()
    script: tuple[Step, ...] | None = None
    faults: list[Fault] = field(default_factory=list)
    _world: World | None = None

    @property
    def world(self) -> World:
        """This session's data of this backend."""
        if self._world is None:
            self._world = self.session.world(self.backend.name, self.backend.populate)
        return self._world

    def observed(self, name: str) -> bool:
        """Whether the difference with this name goes by the running system in this session."""
        assert name in self.backend.difference_names, name
        return self.session.profile == "observed"


Behaviour = Callable[[Ask], Reply | Stream]


@dataclass(frozen=True, slots=True)
class Extra:
    """Something a real system answers beside its documented operations. `path` is below the mount."""

    method: str
    path: str
    summary: str
    behaviour: Behaviour


@dataclass(frozen=True, slots=True)
class Cors:
    """What a backend lets browsers do. `headers` are the request headers it allows, `exposed` its reply headers that
    scripts may read; `on_405` is False where even a 405 lacks these headers."""

    methods: str = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    headers: tuple[str, ...] = ("Content-Type", "Authorization")
    exposed: tuple[str, ...] = ()
    on_405: bool = True


@dataclass(frozen=True, slots=True)
class Credential:
    """Something that lets a caller in, as the start banner shows it."""

    value: str
    what: str


HOUSE_CODES = ("unknown_path", "method_not_allowed", "too_large", "undecodable", "invalid", "crashed")
"""Codes with which the house itself refuses: no such path; not with this method; a body beyond the limit; a path that
is no UTF-8; violations of the contract; an error of our own."""


@dataclass(frozen=True)
class Backend:
    """One backend: what it does, says and refuses.

    `authenticate` returns the caller or raises Refused; it is asked before anything is validated. `refuse` words every
    refusal in the backend's own envelope; beside its own codes it gets those of `HOUSE_CODES`. `chat_text` names the
    operations that can play a scenario and the body member that holds what the person said; `turn` tells how many
    questions the conversation of such a call has heard, this one included. `declare` declares the collections of a
    world, so that a snapshot can be put back into it. `speaks` are the words of the steps that its dialect can say,
    `mute` those that single operations cannot; `failures` are codes that an answer can fail with. `bases` are the paths
    in front of the spec's, where there are more than the one of its server URL; `codes` are those that `refuse` has
    words for, None for any; with `slashless` a path that ends in a slash is served without it, too. `accounts` are what
    further keys can be let in as (see `Settings.keys`), None where any name may be one some day.
    """

    name: str
    title: str
    behaviours: Mapping[str, Behaviour]
    authenticate: Callable[[Ask], Any]
    refuse: Callable[[Ask, Refused, tuple[Violation, ...]], Reply]
    populate: Callable[[World], None]
    bases: tuple[str, ...] | None = None
    slashless: bool = False
    extras: tuple[Extra, ...] = ()
    headers: Headers = ()
    cors: Cors = Cors()
    chat_text: Mapping[str, str] = field(default_factory=dict)
    turn: Callable[[Ask], int] = lambda ask: 1
    declare: Callable[[World], object] = lambda world: None
    speaks: frozenset[str] = frozenset(VERBS.values())
    mute: Mapping[str, frozenset[str]] = field(default_factory=dict)
    failures: frozenset[str] = frozenset()
    codes: frozenset[str] | None = None
    differences: tuple[Difference, ...] = ()
    credentials: tuple[Credential, ...] = ()
    accounts: frozenset[str] | None = None

    @property
    def difference_names(self) -> frozenset[str]:
        """Names of its differences."""
        return frozenset(difference.name for difference in self.differences)


def behaviour_module(name: str, folder: Path | None = None) -> Backend | None:
    """The behaviour of a backend: `folder/NAME.py` if there is one, else the bundled module, else None (there is only a
    spec). Raises Broken for a module without a BACKEND."""
    file = folder / f"{name}.py" if folder is not None else None
    if file is not None and file.is_file():
        module = _module_from(name, file)
    else:
        qualified = f"emulator.backends.{name}"
        try:
            module = importlib.import_module(qualified)
        except ModuleNotFoundError as error:
            if error.name == qualified:
                return None
            raise
    if module.__file__ is None:
        # A folder without code, such as what an old checkout leaves behind.
        return None
    backend = getattr(module, "BACKEND", None)
    if not isinstance(backend, Backend):
        raise Broken(module.__file__, "expected a BACKEND made of emulator.backends.Backend")
    return backend


def _module_from(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"emulator_own_backend_{name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise Broken(str(file), f"cannot be imported: {type(error).__name__}: {error}") from error
    return module
