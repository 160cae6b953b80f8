"""What a terminal shows of a long command. Imported when it is drawn: Rich's progress is slow to load."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text


class ImagesPerSecond(ProgressColumn):
    """How many images are done in a second; empty until the first ones are, when nobody knows.

    Example:
        >>> from rich.progress import Progress
        >>> progress = Progress()
        >>> task = progress.add_task("comparing")
        >>> ImagesPerSecond().render(progress.tasks[task]).plain
        ''
    """

    def render(self, task: Task) -> Text:
        """The rate as Rich has it at this moment."""
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s", style="progress.data.speed")
