"""What the plug-ins refuse.

SkewlessError
└── Unsupported          a part of Feast's interface that these plug-ins do not have
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.contract.errors import SkewlessError


@dataclass(eq=False)
class Unsupported(SkewlessError, NotImplementedError):
    """A part of Feast's interface that is missing here; Feast itself looks for `NotImplementedError`."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"Skewless does not support {self.what} yet; {self.mend}"
