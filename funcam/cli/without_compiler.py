"""torchvision without torch's compiler, all of which it imports, a second of work, to ask one thing of boxes."""

from __future__ import annotations

import sys
from types import ModuleType

_ASKED = "torch._dynamo.utils"


class StandIn(ModuleType):
    """Stands for the module while torchvision is imported; who asks it for anything gets the module's own."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """What the module's own function says, which is imported when boxes are pooled."""
        from torch._dynamo.utils import is_compile_supported

        supported: bool = is_compile_supported(device_type)
        return supported

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_ASKED) is self:
            del sys.modules[_ASKED]
        import torch._dynamo.utils as own

        return getattr(own, name)


def import_torchvision() -> None:
    """Import torchvision; to be called while this process has one thread, as the command has when it begins."""
    if _ASKED not in sys.modules:
        stand_in = sys.modules[_ASKED] = StandIn(_ASKED)
        try:
            import torchvision  # noqa: F401
        finally:
            if sys.modules.get(_ASKED) is stand_in:
                del sys.modules[_ASKED]
