"""torchvision without what it imports and an explanation doesn't need: torch's compiler, data sets, torch's ONNX."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from types import ModuleType

from funcam.cli.standing_in import standing_in

_ASKED = "torch._dynamo.utils"


class _Later(ModuleType, ABC):
    """Stands for a module while torchvision is imported; who asks it for anything gets the module's own."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(self._own(), name)

    @staticmethod
    @abstractmethod
    def _own() -> ModuleType:
        """The module, imported."""


class StandIn(_Later):
    """Stands for the compiler, a second of work, which torchvision asks one thing of boxes."""

    @staticmethod
    def _own() -> ModuleType:
        import torch._dynamo.utils as own

        return own

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """What the module's own function says, which is imported when boxes are pooled."""
        from torch._dynamo.utils import is_compile_supported

        supported: bool = is_compile_supported(device_type)
        return supported


class _DataSets(_Later):
    """Stands for torchvision's data sets, which nobody asks for."""

    @staticmethod
    def _own() -> ModuleType:
        import torchvision.datasets as module

        own: ModuleType = module
        return own


class _Unregistered(_Later):
    """Stands for what tells ONNX of torchvision's boxes; `funcam export`, which writes ONNX, does without stand-ins."""

    @staticmethod
    def _own() -> ModuleType:
        import torchvision.ops._register_onnx_ops as module

        own: ModuleType = module
        return own

    @staticmethod
    def _register_custom_op() -> None:
        """Nothing: what it would tell, it would import."""


def import_torchvision() -> None:
    """Import torchvision; to be called while this process has one thread, as the command has when it begins."""
    if "torchvision" in sys.modules:
        return
    data_sets, onnx = _DataSets("torchvision.datasets"), _Unregistered("torchvision.ops._register_onnx_ops")
    with standing_in((StandIn(_ASKED), data_sets, onnx)):
        import torchvision  # noqa: F401
