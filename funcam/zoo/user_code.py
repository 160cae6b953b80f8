"""A network of one's own by the function that makes it, in a Python file or module.

This is the one place where funcam runs code that it is given. Importing this module imports neither torch nor
torchvision; calling `load_from_factory` does.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from funcam.errors import FuncamError, nearest
from funcam.zoo.neighbours import importing_from

if TYPE_CHECKING:
    from funcam.zoo.net import Net

_WORD = r"[^\W\d]\w*"
_MODULE = re.compile(rf"{_WORD}(\.{_WORD})+")
_FILE = ".py"
_EXPECTED = "expected a function without arguments that returns a torch.nn.Module or a funcam.zoo.Net"


@dataclass(frozen=True)
class Factory:
    """A function that makes a network.

    Attributes:
        source: the file (`FILE.py`) or the module (`package.module`) that it is in.
        function: its name there.
    """

    source: str
    function: str

    @property
    def is_file(self) -> bool:
        """Whether the source is a file, and not a module."""
        return self.source.endswith(_FILE)

    def __str__(self) -> str:
        return f"{self.source}:{self.function}"


def factory_of(text: str) -> Factory | None:
    """The function that `FILE.py:FUNCTION` or `package.module:FUNCTION` names; None for anything else.

    A file ends in `.py` and a module has a dot in it, which tells both from a label. Nothing is run.

    Raises:
        FuncamError: there is no such file, or no function was named.

    Example:
        >>> factory_of("my.models:small")
        Factory(source='my.models', function='small')
        >>> factory_of("mine:resnet50") is None
        True
    """
    source, _, function = text.rpartition(":")
    if function.endswith(_FILE):
        raise FuncamError(f"{text!r} names no function in the file; give {function}:FUNCTION")
    if not source.endswith(_FILE) and not _MODULE.fullmatch(source):
        return None
    if ":" in source and not os.path.isfile(source):
        return None  # a label before it
    if not re.fullmatch(_WORD, function):
        raise FuncamError(f"{text!r} names no function; give {source}:FUNCTION")
    if source.endswith(_FILE) and not os.path.isfile(source):
        raise FuncamError(f"there is no file {source!r}; check the path")
    return Factory(source, function)


def load_from_factory(
    factory: Factory,
    weights: str | os.PathLike[str] | None = None,
    *,
    labels: str | os.PathLike[str] | None = None,
    output: str | int | None = None,
) -> Net:
    """The network that a function makes, with weights, in evaluation mode and float32 on the CPU.

    The file or module is imported and the function is called: its code runs. The file of weights never does.

    Args:
        factory: the function, without arguments. It returns a model (then images are put before it as torchvision's
            networks want them, at 224 pixels) or a `Net` (see `funcam.zoo.own_net`).
        weights: a file, read by `funcam.zoo.checkpoints.read_checkpoint`; None for the values that the function gives.
        labels: a file of the names of the classes, see `funcam.zoo.labels.read_labels`.
        output: where the logits are in what the model returns (digits are an index); None as the function says.

    Raises:
        FuncamError: there is no such module or function, its code fails (where is said), it returns something else,
            or the weights or the labels don't fit.

    Example:
        >>> load_from_factory(Factory("torchvision.models", "resnet18")).name
        'torchvision.models:resnet18'
    """
    from funcam.zoo.checkpoints import read_checkpoint, wrapping
    from funcam.zoo.labels import read_labels
    from funcam.zoo.net import labelled
    from funcam.zoo.state_dicts import fill_state
    from funcam.zoo.user_models import fingerprint, ready

    net = _net(factory, int(output) if isinstance(output, str) and output.isdecimal() else output)
    origin = f"as {factory.function} makes them ({fingerprint(net.model)})"  # equal words, equal values
    if weights is not None:
        model, origin = ready(net.model, copied=True), os.fspath(weights)
        around = wrapping(model.state_dict())  # the reader took it off the names in the file
        state = {around + key: tensor for key, tensor in read_checkpoint(weights).items()}
        fill_state(model, state, name=str(factory), origin=origin)
        net = replace(net, model=model)
    net = replace(net, name=str(factory), weights=origin)
    return net if labels is None else labelled(net, read_labels(labels))


def _net(factory: Factory, output: str | int | None) -> Net:
    """What the function makes; what stands on its standard output goes to standard error."""
    from torch import nn

    from funcam.zoo.net import Net
    from funcam.zoo.own import answered, own_net, reading
    from funcam.zoo.user_models import ready

    with importing_from(_folder(factory)):  # to the end: a first forward pass may import what lies beside it
        with _blamed(factory, "can't be imported"), redirect_stdout(sys.stderr):
            module = _module(factory)
        function = _function(factory, module)
        with _blamed(factory, "failed"), redirect_stdout(sys.stderr), reading(output):
            made = function()
        if isinstance(made, Net):
            net = replace(made, model=ready(made.model))
            return net if output in (None, net.output) else answered(replace(net, output=output))
        if isinstance(made, nn.Module):
            return own_net(made, name=str(factory), output=output)
    raise FuncamError(f"{factory} returned a value of type {type(made).__name__}; {_EXPECTED}")


def _folder(factory: Factory) -> str:
    """Where the modules are that its code may import: beside the file, or in the current folder."""
    return str(Path(factory.source).resolve().parent) if factory.is_file else os.getcwd()


def _module(factory: Factory) -> ModuleType:
    """The file or module, imported once in a process; a file that changed since is another one."""
    if not factory.is_file:
        return importlib.import_module(factory.source)
    path = Path(factory.source).resolve()
    name = f"{path.stem}_{zlib.crc32(bytes(path) + path.read_bytes()):08x}"  # no other module's
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.export look for a class's module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _FromSource(SourceFileLoader):
    """Python keeps compiled code by a file's second and size, and an edit may change neither."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _function(factory: Factory, module: ModuleType) -> Callable[[], Any]:
    function = getattr(module, factory.function, None)
    if function is None:
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        near = f"; nearest: {nearest(factory.function, known)}" if known else ""
        raise FuncamError(f"there is no function {factory.function!r} in {factory.source}{near}")
    if isinstance(function, type) or inspect.isroutine(function):
        return _without_arguments(factory, function)
    raise FuncamError(f"{factory} is no function but a value of type {type(function).__name__}; {_EXPECTED}")


def _without_arguments(factory: Factory, function: Callable[..., Any]) -> Callable[[], Any]:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise FuncamError(f"{factory} can't be called without arguments ({error}); {_EXPECTED}") from None
    except ValueError:  # some of C's functions have no signature: the call will tell
        pass
    return function


@contextmanager
def _blamed(factory: Factory, what: str) -> Iterator[None]:
    """Whatever the code raises, in one line, with the place in it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not factory.is_file and f"{factory.source}.".startswith(f"{error.name}."):
            raise FuncamError(f"there is no module {error.name!r}, here or installed; check {str(factory)!r}") from None
        raise _failure(factory, what, error) from error
    except (Exception, SystemExit) as error:  # a script that parses its arguments ends Python
        raise _failure(factory, what, error) from error


def _failure(factory: Factory, what: str, error: BaseException) -> FuncamError:
    message = error.msg if isinstance(error, SyntaxError) else str(error)  # its text has a place of its own
    text = next((line.strip() for line in message.splitlines() if line.strip()), "no message")
    kind = "" if isinstance(error, FuncamError) else f"{type(error).__name__}: "
    return FuncamError(f"{factory} {what}: {kind}{text}{_place(factory, error)}")


def _place(factory: Factory, error: BaseException) -> str:
    """` (file, line 7)`: the last line of the code in question, else the last that is not funcam's or Python's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename[:1] != "<"]
    module = sys.modules.get(factory.source)
    file = str(Path(factory.source).resolve()) if factory.is_file else getattr(module, "__file__", None)
    theirs = [frame for frame in frames if frame.filename == file] or [f for f in frames if f.filename != __file__]
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""
