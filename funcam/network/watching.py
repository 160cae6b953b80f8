"""Hooks that only watch, whatever the image: their code shows that they return nothing and change nothing.

What a hook did with one image says nothing of the next: `if output.max() > 6: return output.clamp(max=6)`. So its
bytecode is read, and believed only where each of its steps is known to be harmless; the least doubt, an unknown call,
an operation in place, an instruction of another Python, and the hook is one that may act.
"""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from funcam.network.held import fields_of, is_filled, is_plain_object, of_library

_FILLED = frozenset({list, dict, set, deque, OrderedDict, defaultdict})
_FILLS = frozenset({"append", "appendleft", "extend", "add", "update", "insert"})
"""What fills a container, and returns None."""
_READS = frozenset(
    {
        *("detach", "clone", "numpy", "size", "dim", "numel", "nelement", "item", "tolist", "mean", "sum", "max"),
        *("min", "std", "any", "all", "isnan", "isinf", "items", "keys", "values"),
    }
)
"""What reads a tensor, and writes nothing for up to two arguments."""
_MOVES = frozenset({"cpu", "float"})
"""What reads a tensor and changes a module."""
_BUILTINS = frozenset({"print", "len", "str", "repr", "int", "float", "bool", "isinstance", "type", "id", "tuple"})
_OUT = frozenset({"out", "inplace"})
_SKIPPED = frozenset({"RESUME", "NOP", "PRECALL", "COPY_FREE_VARS", "EXTENDED_ARG", "CACHE", "NOT_TAKEN"})
_LOADS = frozenset({"LOAD_CONST", "LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_SMALL_INT", "LOAD_FAST_BORROW"})
_HARMLESS = _LOADS | {
    *("LOAD_ATTR", "LOAD_METHOD", "PUSH_NULL", "KW_NAMES", "POP_TOP", "COPY", "SWAP", "STORE_FAST", "BINARY_SUBSCR"),
    *("COMPARE_OP", "CONTAINS_OP", "IS_OP", "UNARY_NOT", "UNARY_NEGATIVE", "TO_BOOL", "GET_ITER", "FOR_ITER"),
    *("BUILD_TUPLE", "BUILD_LIST", "BUILD_MAP", "BUILD_SLICE", "BUILD_STRING", "BUILD_CONST_KEY_MAP", "END_FOR"),
    *("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "CONVERT_VALUE", "UNPACK_SEQUENCE", "POP_ITER"),
}
_ENDS = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "JUMP_FORWARD", "JUMP_BACKWARD"})
_ASSERTION = frozenset({"LOAD_ASSERTION_ERROR", "LOAD_COMMON_CONSTANT"})
_DECORATED = torch.no_grad()(print).__code__
"""Of every function that torch wraps in one of its modes."""


def only_watches(hook: Callable[..., Any], reached: frozenset[int] = frozenset()) -> bool:
    """Whether a hook certainly returns None and changes nothing that a model computes with, for every image.

    Args:
        hook: a forward or backward hook.
        reached: the identities of objects that the model's code reads: what is put into these may count.

    Example:
        >>> kept = []
        >>> only_watches(lambda module, given, output: kept.append(output.detach()))
        True
        >>> only_watches(lambda module, given, output: output.clamp(max=6))
        False
    """
    shifted = False
    while isinstance(hook, functools.partial):
        shifted = shifted or bool(hook.args)
        hook = hook.func
    if hook is print:
        return True
    owner = getattr(hook, "__self__", None)
    function = getattr(hook, "__func__", hook)
    if not isinstance(function, types.FunctionType):
        owner, function = hook, type(hook).__call__
    while isinstance(function, types.FunctionType) and function.__code__ is _DECORATED:
        function = function.__wrapped__  # type: ignore[attr-defined]
    return isinstance(function, types.FunctionType) and _Code(function, owner, shifted, reached).is_harmless()


class _Code:
    """The bytecode of a function, and what its names stand for.

    Attributes:
        steps: the instructions.
        owner: what a method is bound to, None for a function.
        tensors: the arguments that are no module.
        reached: as in `only_watches`.
    """

    steps: Sequence[dis.Instruction]
    owner: Any
    tensors: Sequence[str]
    reached: frozenset[int]

    def __init__(self, function: types.FunctionType, owner: Any, shifted: bool, reached: frozenset[int]) -> None:
        code = function.__code__
        self.steps = _steps(function)
        self.owner, self.reached = owner, reached
        self._cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        self._globals, self._constants = function.__globals__, code.co_consts
        stored = {step.argval for step in self.steps if step.opname == "STORE_FAST"}
        named = code.co_varnames[: code.co_argcount]
        bound = owner is not None
        self._self = named[0] if bound and named and named[0] not in stored else None
        self.tensors = [] if shifted else [name for name in named[1 + bound :] if name not in stored]

    def is_harmless(self) -> bool:
        """Whether all that the code does is looking, and filling containers that no model reads."""
        failing = self._failing()
        return all(at in failing or self._is_harmless(at) for at in range(len(self.steps)))

    def _failing(self) -> set[int]:
        """The steps behind which an assertion fails in any case: what they say about it changes nothing."""
        places = {step.offset: at for at, step in enumerate(self.steps)}
        failing: set[int] = set()
        for at in reversed(range(len(self.steps))):
            step = self.steps[at]
            following = [] if step.opname in _ENDS else [at + 1]
            if _jumps(step):
                following.append(places.get(step.argval, -1))
            if self._fails(at) or (following and failing.issuperset(following)):
                failing.add(at)
        return failing

    def _fails(self, at: int) -> bool:
        if self.steps[at].opname != "RAISE_VARARGS":
            return False
        before = self.steps[at - 1]
        callee = self._callee(at - 1) if before.opname == "CALL" else None
        by_name = callee is not None and self.steps[callee].argval == "AssertionError"
        return before.opname in _ASSERTION or (by_name and "AssertionError" not in self._globals)

    def _is_harmless(self, at: int) -> bool:
        step = self.steps[at]
        name = step.opname
        if name == "LOAD_GLOBAL":
            return self._is_known_global(step.argval)
        if name == "KW_NAMES":
            return _OUT.isdisjoint(self._constants[step.arg or 0])
        if name == "BINARY_OP":
            return not step.argrepr.endswith("=")
        if name in ("CALL", "CALL_KW"):
            return self._calls(at) is not None
        if name == "STORE_SUBSCR":
            return self.steps[at - 1].opname in _LOADS and self._is_fillable(at - 2, at)
        if name == "STORE_ATTR":
            return self._is_settable(at)
        if name == "RETURN_CONST":
            return step.argval is None
        if name == "RETURN_VALUE":
            return self._returns_none(at)
        return name in _HARMLESS or _jumps(step)

    def _returns_none(self, at: int) -> bool:
        before = self.steps[at - 1]
        if self.steps[at].is_jump_target:  # other values come here too
            return False
        if before.opname == "LOAD_CONST":
            return before.argval is None
        return before.opname in ("CALL", "CALL_KW") and self._calls(at - 1) == "None"

    def _callee(self, at: int) -> int | None:
        """The step that loads what is called; None where it isn't known."""
        step = self.steps[at]
        pending, start = (step.arg or 0) + (step.opname == "CALL_KW"), at
        while pending > 0:
            start -= 1
            if start < 0 or _jumps(self.steps[start]):
                return None
            pending -= _effect(self.steps[start])
        callee = start - 1 - (start > 0 and self.steps[start - 1].opname == "PUSH_NULL")
        chosen = any(each.is_jump_target for each in self.steps[max(callee, 0) : at + 1])
        return None if callee < 0 or pending or chosen else callee

    def _calls(self, at: int) -> str | None:
        """What a call returns, "None" or "a value"; None where it isn't known to be harmless."""
        if self.steps[at].opname == "CALL_KW" and not _OUT.isdisjoint(self.steps[at - 1].argval or ()):
            return None
        callee = self._callee(at)
        return None if callee is None else self._returned_by(callee, at)

    def _returned_by(self, callee: int, at: int) -> str | None:
        name, how = self.steps[callee].argval, self.steps[callee].opname
        if how == "LOAD_GLOBAL" and name in _BUILTINS:
            return "None" if name == "print" else "a value"
        if how not in ("LOAD_METHOD", "LOAD_ATTR"):
            return None
        if name in _FILLS:
            return "None" if self._is_fillable(callee - 1, at) else None
        owner = self.steps[callee - 1]
        moves = name in _MOVES and (owner.opname in ("CALL", "CALL_KW") or owner.argval in self.tensors)
        reads = moves or (name in _READS and not is_plain_object(self._resolved(callee - 1, at)))
        return "a value" if reads and (self.steps[at].arg or 0) <= 2 else None

    def _is_fillable(self, end: int, at: int) -> bool:
        value = self._resolved(end, at)
        return type(value) in _FILLED and id(value) not in self.reached

    def _is_settable(self, at: int) -> bool:
        value, name = self._resolved(at - 1, at), self.steps[at].argval
        plain = is_plain_object(value) and getattr(type(value), "__setattr__", None) is object.__setattr__
        return plain and not hasattr(type(value), name) and id(value) not in self.reached

    def _resolved(self, end: int, at: int) -> Any:
        """What `name.field.field`, whose last step this is, stands for; None where that isn't known."""
        fields: list[str] = []
        while end >= 0 and self.steps[end].opname == "LOAD_ATTR":
            fields.insert(0, self.steps[end].argval)
            end -= 1
        if end < 0 or any(step.is_jump_target for step in self.steps[end + 1 : at + 1]):
            return None
        value = self._variable(self.steps[end])
        for field in fields:
            if not is_plain_object(value) or id(value) in self.reached:
                return None
            value = fields_of(value).get(field)
        return value

    def _variable(self, step: dis.Instruction) -> Any:
        if step.opname == "LOAD_DEREF" and step.argval in self._cells:
            cell = self._cells[step.argval]
            return cell.cell_contents if is_filled(cell) else None
        if step.opname == "LOAD_GLOBAL":
            return self._globals.get(step.argval)
        if step.opname in ("LOAD_FAST", "LOAD_FAST_BORROW") and step.argval == self._self:
            return self.owner
        return None

    def _is_known_global(self, name: str) -> bool:
        if name not in self._globals:
            return name in _BUILTINS or isinstance(getattr(builtins, name, None), type)
        value = self._globals[name]
        if isinstance(value, type | types.ModuleType):
            return value is torch or (isinstance(value, type) and of_library(value))
        return not callable(value)


def _steps(function: types.FunctionType) -> list[dis.Instruction]:
    """The instructions of a function that do something."""
    steps: list[dis.Instruction] = []
    target, offset = False, None
    for step in dis.get_instructions(function):
        target = target or step.is_jump_target
        offset = step.offset if offset is None else offset
        if step.opname not in _SKIPPED:
            steps.append(step._replace(is_jump_target=target, offset=offset))
            target, offset = False, None
    return steps


def _jumps(step: dis.Instruction) -> bool:
    return "JUMP" in step.opname or step.opname == "FOR_ITER"


def _effect(step: dis.Instruction) -> int:
    """By how much an instruction makes the stack longer (CPython 3.11 counts a call in two parts)."""
    if step.opname == "CALL":
        return -(step.arg or 0) - 1
    return dis.stack_effect(step.opcode, step.arg if step.opcode >= dis.HAVE_ARGUMENT else None, jump=False)
