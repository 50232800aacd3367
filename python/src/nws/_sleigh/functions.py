"""What is sent to the workers for the `fun` of a call: a function as it is, one to be made known, or an expression."""

import sys
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

from nws._sleigh.exceptions import SleighIllegalValueException

__all__ = ["Arrange", "Define", "Evaluate", "Function", "name_of", "prepare"]

Function = Callable[..., Any] | str

_TYPES = ("invoke", "define", "eval")


class Arrange:
    """Calls a function with the arguments of a task, fixed ones appended, in the order asked for."""

    def __init__(self, fun: Callable[..., Any], fixed: Sequence[Any], permutation: tuple[int, ...] | None) -> None:
        self._fun = fun
        self.fixed_args = list(fixed)
        self._permutation = permutation

    def __repr__(self) -> str:
        return name_of(self._fun)

    def __call__(self, *varying: Any) -> Any:
        """Run the function."""
        arguments = (*varying, *self.fixed_args)
        if self._permutation is not None:
            arguments = tuple(arguments[index] for index in self._permutation)
        return self._fun(*arguments)


class Define:
    """Makes a function known on the worker under its name, and does not call it."""

    def __init__(self, fun: Callable[..., Any]) -> None:
        name = getattr(fun, "__name__", "<lambda>")
        self.name = name if name.isidentifier() else "SleighFunction"
        self._fun = fun

    def __repr__(self) -> str:
        return f"the definition of {self.name}"

    def __call__(self, *_: Any) -> None:
        """Put the function into the namespace of scripts."""
        setattr(sys.modules["__main__"], self.name, self._fun)


class Evaluate:
    """Evaluates an expression, or runs statements, in the namespace of scripts.

    It sees its arguments as the list `SleighArguments`, which is `SleighArgs` as well. Of statements the value is what
    they assigned to `SleighValue`, else None.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._code: tuple[CodeType, bool] | None = None

    def __repr__(self) -> str:
        return repr(self._text)

    def __getstate__(self) -> str:
        return self._text

    def __setstate__(self, text: str) -> None:
        self._text = text
        self._code = None

    def __call__(self, *arguments: Any) -> Any:
        """Evaluate or run the text."""
        if self._code is None:
            self._code = compiled(self._text)
        code, is_expression = self._code
        names = sys.modules["__main__"].__dict__
        names["SleighArguments"] = names["SleighArgs"] = list(arguments)
        if is_expression:
            return eval(code, names)
        names.pop("SleighValue", None)
        exec(code, names)
        return names.get("SleighValue")


def compiled(text: str) -> tuple[CodeType, bool]:
    """Compile an expression or statements; says which it is. Raises `SyntaxError` for what is neither."""
    try:
        return compile(text, "<sleigh>", "eval"), True
    except SyntaxError:
        return compile(text, "<sleigh>", "exec"), False


def name_of(fun: Function) -> str:
    """Return what to call a function in messages."""
    return repr(fun) if isinstance(fun, str) else str(getattr(fun, "__qualname__", repr(fun)))


def prepare(
    fun: Function, type: str | None, fixed: Sequence[Any], permutation: tuple[int, ...] | None
) -> Callable[..., Any]:
    """Return what the workers shall call for each task.

    Raises `TypeError` for what is neither function nor text, `SleighIllegalValueException` for a type of invocation
    that does not go with it, `SyntaxError` for text that is no Python.
    """
    if type is not None and type not in _TYPES:
        raise SleighIllegalValueException(f"type: expected 'invoke', 'define' or 'eval', got {type!r}")
    if isinstance(fun, str):
        if type not in (None, "eval"):
            raise SleighIllegalValueException(f"type: expected 'eval', as fun is an expression; got {type!r}")
        text = fun.lstrip()
        compiled(text)
        made: Callable[..., Any] = Evaluate(text)
    elif not callable(fun):
        raise TypeError(f"fun: expected a function or an expression in a string, got {_kind(fun)}")
    elif type == "eval":
        raise SleighIllegalValueException("type: expected 'invoke' or 'define', as fun is a function; got 'eval'")
    elif type == "define":
        return Define(fun)
    else:
        made = fun
    return Arrange(made, fixed, permutation) if fixed or permutation is not None else made


def _kind(thing: object) -> str:
    return thing.__class__.__name__
