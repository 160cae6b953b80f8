"""torchvision without what it imports and an explanation doesn't need: torch's compiler, data sets, torch's ONNX."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_ASKED = "torch._dynamo.utils"


class Later(ModuleType):
    """Stands for a module while torchvision is imported; who asks it for anything gets the module's own."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class StandIn(Later):
    """Stands for the compiler, a second of work, which torchvision asks one thing of boxes."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """What the module's own function says, which is imported when boxes are pooled."""
        from torch._dynamo.utils import is_compile_supported

        supported: bool = is_compile_supported(device_type)
        return supported


class Unregistered(Later):
    """Stands for what tells ONNX of torchvision's boxes; `funcam export`, which writes ONNX, does without stand-ins."""

    @staticmethod
    def _register_custom_op() -> None:
        """Nothing: what it would tell, it would import."""


def import_torchvision() -> None:
    """Import torchvision; to be called while this process has one thread, as the command has when it begins."""
    if "torchvision" in sys.modules:
        return
    modules = (StandIn(_ASKED), Later("torchvision.datasets"), Unregistered("torchvision.ops._register_onnx_ops"))
    stand_ins = {module.__name__: module for module in modules if module.__name__ not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        import torchvision  # noqa: F401
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
