"""Days of the training windows."""

from __future__ import annotations

from datetime import timedelta

from skewless.project.windows import TimeSplit
from tests.models import learnable_project

EARLY = TimeSplit(learnable_project.START, *(learnable_project.START + timedelta(days=days) for days in (2, 4, 8)))
"""So short that its model knows little."""
