"""What a tile computes of a row: a closed set of expressions, each with a local and a KQL form.

Missing stays missing: arithmetic with a null is null, a division by zero is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeAlias

#: Type of a value, by KQL's names; `date` is a day, without a time of day.
Type = OneOf["string", "long", "real", "bool", "datetime", "date", "dynamic"]
Operator = OneOf["+", "-", "*", "/", "==", "!=", "<", "<=", ">", ">=", "and", "or"]
Function = OneOf["abs", "floor", "log", "not", "missing", "real"]
Plain: TypeAlias = "int | float | str | bool"
Operand: TypeAlias = "Expression | Plain"


class Expression:
    """Any expression; operators make bigger ones."""

    def __add__(self, other: Operand) -> Binary:
        return Binary("+", self, given(other))

    def __sub__(self, other: Operand) -> Binary:
        return Binary("-", self, given(other))

    def __mul__(self, other: Operand) -> Binary:
        return Binary("*", self, given(other))

    def __truediv__(self, other: Operand) -> Binary:
        return Binary("/", self, given(other))

    def __lt__(self, other: Operand) -> Binary:
        return Binary("<", self, given(other))

    def __le__(self, other: Operand) -> Binary:
        return Binary("<=", self, given(other))

    def __gt__(self, other: Operand) -> Binary:
        return Binary(">", self, given(other))

    def __ge__(self, other: Operand) -> Binary:
        return Binary(">=", self, given(other))

    def __and__(self, other: Expression) -> Binary:
        return Binary("and", self, other)

    def __or__(self, other: Expression) -> Binary:
        return Binary("or", self, other)

    def __invert__(self) -> Unary:
        return Unary("not", self)

    def equals(self, other: Operand) -> Binary:
        """`==`, which Python's dataclasses keep for themselves."""
        return Binary("==", self, given(other))

    def differs(self, other: Operand) -> Binary:
        """`!=`."""
        return Binary("!=", self, given(other))


@dataclass(frozen=True)
class Column(Expression):
    """A column of the rows."""

    name: str


@dataclass(frozen=True)
class Literal(Expression):
    """A constant."""

    value: Plain


@dataclass(frozen=True)
class Nothing(Expression):
    """A missing real number."""


@dataclass(frozen=True)
class Binary(Expression):
    """Two values and an operator. `/` is of reals, and null where the divisor is 0."""

    operator: Operator
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Unary(Expression):
    """A function of one value: `missing` is true of null and of an empty string."""

    function: Function
    of: Expression


@dataclass(frozen=True)
class Either(Expression):
    """`then` where the condition holds, else `otherwise`; both of one type."""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True)
class Pick(Expression):
    """The expression that the viewer chose: a parameter's value -> expression, all of one type."""

    parameter: str
    options: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class Bin(Expression):
    """Start of the interval of `seconds` that a time lies in; a divisor of a day."""

    of: Expression
    seconds: int


@dataclass(frozen=True)
class Seconds(Expression):
    """Seconds from `earlier` to `later`, two times."""

    later: Expression
    earlier: Expression


def given(value: Operand) -> Expression:
    """A constant as an expression; an expression as it is."""
    return value if isinstance(value, Expression) else Literal(value)


def col(name: str) -> Column:
    """A column of the rows."""
    return Column(name)


def price(name: str) -> Binary:
    """A price kept in 1e-9 currency, in currency."""
    return Column(name) / 1e9


def missing(value: Expression) -> Unary:
    """Is there no value? An empty string is none."""
    return Unary("missing", value)


def present(value: Expression) -> Unary:
    """Is there a value?"""
    return ~missing(value)


def pick(parameter: str, options: Mapping[str, Operand]) -> Pick:
    """The option that the viewer chose."""
    return Pick(parameter, tuple((k, given(v)) for k, v in options.items()))


def either(condition: Expression, then: Operand, otherwise: Operand) -> Either:
    """One of two values."""
    return Either(condition, given(then), given(otherwise))


def parts(e: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside one."""
    match e:
        case Binary(_, left, right):
            return (left, right)
        case Unary(_, of) | Bin(of, _):
            return (of,)
        case Either(condition, then, otherwise):
            return (condition, then, otherwise)
        case Pick(_, options):
            return tuple(x for _, x in options)
        case Seconds(later, earlier):
            return (later, earlier)
    return ()


def columns_in(e: Expression) -> set[str]:
    """Names of the columns that an expression reads."""
    mine = {e.name} if isinstance(e, Column) else set()
    return mine.union(*(columns_in(x) for x in parts(e)))


def picks_in(e: Expression) -> set[Pick]:
    """The choices that an expression leaves to the viewer."""
    mine = {e} if isinstance(e, Pick) else set()
    return mine.union(*(picks_in(x) for x in parts(e)))
