"""The stages of a conversion, in the order in which they run.  A new stage is a module here and a row in `STAGES`."""

from tfcompress.job.stage import Stage
from tfcompress.job.stages.calibrating import CALIBRATION
from tfcompress.job.stages.comparing import DIFF
from tfcompress.job.stages.converting import CONVERT
from tfcompress.job.stages.loading import DATA, LOAD
from tfcompress.job.stages.repairing import REPAIR
from tfcompress.job.stages.reporting import REPORT
from tfcompress.job.stages.training import TRAINING

__all__ = ["STAGES"]

STAGES: tuple[Stage, ...] = (LOAD, DATA, TRAINING, CALIBRATION, CONVERT, DIFF, REPAIR, REPORT)
