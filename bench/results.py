"""What a measurement finds, and where it is kept."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Result:
    """`ratio` is ours / peer, the median over the rounds."""

    name: str
    ratio: float
    aim: float | None
    """None: told for honesty, without an aim."""
    better: Literal["lower", "higher"]
    ours: float
    """Median."""
    peer: float
    unit: str
    spread: tuple[float, float]
    """The lowest and the highest ratio of a round."""

    @classmethod
    def of(
        cls, name: str, ours: Sequence[float], peer: Sequence[float], unit: str, aim: float | None = None
    ) -> "Result":
        """Of rounds in which both sides ran one after the other; less is better."""
        ratios = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
        return cls(
            name,
            round(statistics.median(ratios), 3),
            aim,
            "lower",
            round(statistics.median(ours), 4),
            round(statistics.median(peer), 4),
            unit,
            (round(min(ratios), 3), round(max(ratios), 3)),
        )

    @property
    def met(self) -> bool:
        return self.aim is None or (self.ratio <= self.aim if self.better == "lower" else self.ratio >= self.aim)


def keep(results: Sequence[Result]) -> None:
    """Replaces the results of these names, and leaves those of others."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known |= {result.name: {k: v for k, v in asdict(result).items() if k != "name"} for result in results}
    RESULTS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
