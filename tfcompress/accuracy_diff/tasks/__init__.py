"""Tasks: how the outputs of each kind of model are judged."""

from tfcompress.accuracy_diff.tasks.base import Metrics, Task
from tfcompress.accuracy_diff.tasks.choose import TASKS, choose_task

__all__ = ["TASKS", "Metrics", "Task", "choose_task"]
