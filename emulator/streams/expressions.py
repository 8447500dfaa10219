"""One expression: text → a function of the names there are. The only file that knows Jinja2.

What Jinja2 makes of it is looked through before any of it runs, and runs in its sandbox; members are looked up here, so
that none leads into a Python object, and whatever can grow is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.environment import TemplateExpression
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from emulator.errors import nearest
from emulator.streams.values import (
    DEEPEST_EXPRESSION,
    FAKES,
    FUNCTIONS,
    LONGEST,
    LONGEST_EXPRESSION,
    MEMBERS,
    MOST_BITS,
    MOST_NODES,
    NAMES,
    TESTS,
    Fake,
    Headers,
    Mistake,
    States,
    size_of,
    written,
)
from emulator.streams.when import unknown

ALLOWED = (
    nodes.Add,
    nodes.And,
    nodes.Call,
    nodes.Compare,
    nodes.Concat,
    nodes.CondExpr,
    nodes.Const,
    nodes.Dict,
    nodes.Div,
    nodes.Filter,
    nodes.FloorDiv,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Keyword,
    nodes.List,
    nodes.Mod,
    nodes.Mul,
    nodes.Name,
    nodes.Neg,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Pair,
    nodes.Pos,
    nodes.Slice,
    nodes.Sub,
    nodes.TemplateData,
    nodes.Test,
)
REFUSED: Mapping[type[nodes.Node], str] = {nodes.Pow: "powers", nodes.Tuple: "lists in round brackets"}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list) and len(value) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError("the number is too large")
    return value


def _add(left: Any, right: Any) -> Any:
    if type(left) is type(right) and type(left) in (str, list):
        if len(left) + len(right) > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters")
        return left + right
    return _numbers("+", lambda one, other: one + other)(left, right)


def _numbers(word: str, work: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def worked(left: Any, right: Any) -> Any:
        for one in (left, right):
            if isinstance(one, Undefined):
                one._fail_with_undefined_error()
        if not (_number(left) and _number(right)):
            raise TypeError(f"{word} is for numbers here, to put texts together write ~")
        return work(_bounded(left), _bounded(right))

    return worked


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": _add,
    "-": _numbers("-", lambda left, right: left - right),
    "*": _numbers("*", lambda left, right: left * right),
    "/": _numbers("/", lambda left, right: left / right),
    "//": _numbers("//", lambda left, right: left // right),
    "%": _numbers("%", lambda left, right: left % right),
}


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with plain members and bounded operators."""

    intercepted_binops = frozenset({*OPERATORS, "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator between two values."""
        return _bounded(OPERATORS[operator](left, right))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: the member with this name."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: a member of a mapping, or the one at a place of a list or text."""
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, Fake) and argument in FAKES:
            return obj.value(argument)
        if isinstance(obj, Headers) and isinstance(argument, str):
            argument = argument.lower()
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, str | list) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        missing = Undefined if isinstance(obj, States) else self.undefined
        return missing(f"there is no {str(argument)[:60]!r} in {_kind(obj)}")


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"what has {', '.join(sorted(map(str, value))[:8]) or 'no members'}"
    return {list: "the list", str: "the text", type(None): "nothing"}.get(type(value), "the value")


def _text(work: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: work(_stringed(value))


def _stringed(value: Any) -> str:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return written(value) if not isinstance(value, Mapping | list) else json.dumps(value, ensure_ascii=False)


def _default(value: Any, other: Any = "", empty: bool = False) -> Any:
    return other if isinstance(value, Undefined) or (empty and not value) else value


def _joined(value: Any, between: str = "") -> str:
    size, texts = 0, []
    for one in value:
        texts.append(_stringed(one))
        size += len(texts[-1]) + len(between)
        if size > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters")
    return str(between).join(texts)


def _replaced(value: Any, old: str, new: str) -> str:
    text = _stringed(value)
    if not old:
        raise ValueError("what is replaced must not be empty")
    if len(text) + text.count(old) * max(0, len(new) - len(old)) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    return text.replace(old, new)


def _rounded(value: Any, digits: int = 0) -> Any:
    made = round(value, max(-20, min(20, digits)))
    return int(made) if digits <= 0 else made


def _truncated(value: Any, length: int = 80, end: str = "…") -> str:
    text = _stringed(value)
    return text if len(text) <= length else text[: max(0, length)] + end


FILTERS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "capitalize": _text(str.capitalize),
    "default": _default,
    "first": lambda value: value[0],
    "float": float,
    "int": lambda value: int(value[:40]) if isinstance(value, str) else int(value),
    "join": _joined,
    "json": lambda value: json.dumps(value, ensure_ascii=False),
    "last": lambda value: value[-1],
    "length": len,
    "lower": _text(str.lower),
    "replace": _replaced,
    "round": _rounded,
    "string": _stringed,
    "title": _text(str.title),
    "trim": _text(str.strip),
    "truncate": _truncated,
    "upper": _text(str.upper),
    "urlencode": _text(lambda text: __import__("urllib.parse").parse.quote(text, safe="")),
}


def _guarded(work: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*arguments: Any) -> Any:
        for one in arguments[1 if work is _default else 0 :]:
            if isinstance(one, Undefined):
                one._fail_with_undefined_error()
        if isinstance(arguments[0], str) and work is not len and len(arguments[0]) > 8 * LONGEST:
            raise ValueError(f"a text of {len(arguments[0])} characters is too long for this")
        return _bounded(work(*arguments))

    return guarded


ENVIRONMENT = _Environment(undefined=StrictUndefined, autoescape=False, optimized=False, cache_size=0)
ENVIRONMENT.filters = {name: _guarded(work) for name, work in FILTERS.items()}
ENVIRONMENT.tests = {name: ENVIRONMENT.tests[name] for name in TESTS}
ENVIRONMENT.globals = {}


def compiled(source: str, looped: bool) -> Callable[[Mapping[str, Any]], Any]:
    """A function from the names there are to the value of an expression. Raises Mistake for what is none."""
    if len(source) > LONGEST_EXPRESSION:
        raise Mistake((), f"an expression may have {LONGEST_EXPRESSION} characters")
    if not source.strip():
        raise Mistake((), "an empty {{ }}")
    if source[0] in "-+":
        raise Mistake((), f"write {{{{ {source[0]} … }}}} with a blank: blanks around a value are not cut here")
    try:
        parser = Parser(ENVIRONMENT, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateSyntaxError("one expression expected", 1)
        _look_through(tree, looped)
        assigned = nodes.Assign(nodes.Name("result", "store", lineno=1), _rewritten(tree), lineno=1)
        made = ENVIRONMENT.from_string(nodes.Template([assigned], lineno=1))
    except (RecursionError, MemoryError) as error:
        raise Mistake((), "no expression: nested too deep") from error
    except (TemplateError, SyntaxError, OverflowError, ValueError) as error:
        words = " ".join(str(error).split())[:120]
        raise Mistake((), f"no expression: {words}") from error
    return TemplateExpression(made, undefined_to_none=False)


def _look_through(tree: nodes.Node, looped: bool) -> None:
    """Raise Mistake for anything that is not allowed."""
    called: set[int] = set()
    seen, waiting = 0, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > MOST_NODES or depth > DEEPEST_EXPRESSION:
            raise Mistake((), "the expression is too large")
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
            called.add(id(node.node))
        _look_at(node, looped, id(node) in called)
        waiting += [(inner, depth + 1) for inner in node.iter_child_nodes()]


def _look_at(node: nodes.Node, looped: bool, called: bool) -> None:
    if type(node) not in ALLOWED:
        what = REFUSED.get(type(node), type(node).__name__)
        raise Mistake((), f"{what} cannot be used in an expression")
    if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (
        node.dyn_args is not None or node.dyn_kwargs is not None or node.kwargs
    ):
        raise Mistake((), "arguments are given by their place here")
    if isinstance(node, nodes.Call) and not (isinstance(node.node, nodes.Name) and node.node.name in FUNCTIONS):
        raise Mistake((), f"only {' and '.join(f'{name}()' for name in FUNCTIONS)} can be called")
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise Mistake((), unknown("filter", node.name, FILTERS))
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise Mistake((), unknown("test", node.name, TESTS))
    if isinstance(node, nodes.Const):
        size_of(node.value)
    if isinstance(node, nodes.Name):
        _look_at_name(node.name, looped, called)
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        _look_at_member(node)


def _look_at_name(name: str, looped: bool, called: bool) -> None:
    if name not in NAMES:
        raise Mistake((), unknown("name", name, NAMES))
    if name == "index" and not looped:
        raise Mistake((), "index is there inside of a repeat only")
    if name in FUNCTIONS and not called:
        raise Mistake((), f"{name} has to be called: {name}({'' if name == 'uuid' else 'now'})")


def _look_at_member(node: nodes.Getattr | nodes.Getitem) -> None:
    name: Any = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
    if not isinstance(node.node, nodes.Name) or not isinstance(name, str):
        return
    owner = node.node.name
    known = FAKES if owner == "fake" else MEMBERS.get(owner)
    if known is not None and name not in known:
        some = known if owner != "fake" else nearest(name, known) or known[:5]
        more = "" if owner != "fake" else ", …: all are in docs/scenario-language.md"
        raise Mistake((), unknown(f"member of {owner}", name, some) + more)


def _rewritten(tree: nodes.Expr) -> nodes.Expr:
    """The tree with each `~` as a bounded join."""
    for name in tree.fields:
        value = getattr(tree, name)
        if isinstance(value, nodes.Expr):
            setattr(tree, name, _rewritten(value))
        elif isinstance(value, list):
            setattr(tree, name, [_rewritten(one) if isinstance(one, nodes.Node) else one for one in value])  # type: ignore[arg-type]
    if isinstance(tree, nodes.Concat):
        return nodes.Filter(nodes.List(tree.nodes, lineno=1), "join", [], [], None, None, lineno=1)
    return tree
