"""What a training run says: a CSV file with one row per report, and a progress bar with speed and time left."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Log:
    """Rows of (step, stage, rate, samples per second, loss, terms) in a CSV file, and the same on a progress bar."""

    def __init__(
        self, path: Path, terms: Sequence[str], steps: int, start: int, console: Console | None = None
    ) -> None:
        """Continue the file at `path`: rows of steps after `start` (from a run that went on after its last
        checkpoint) are dropped.

        Args:
            terms: Names of all terms of all stages, in the order of their columns.
            steps: Steps of the whole run.
            start: Steps already done.
        """
        self.columns = ["step", "stage", "rate", "samples_per_second", "loss", *terms]
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if start and path.exists():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if row["step"].isdigit() and int(row["step"]) <= start]
        self._file = path.open("w", newline="")
        self._writer = csv.DictWriter(self._file, self.columns, extrasaction="ignore")
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True), TextColumn("{task.fields[note]}"),
            console=console or Console(stderr=True), refresh_per_second=2,
        )
        self._task = self._bar.add_task("training", total=steps, completed=start, note="")

    def __enter__(self) -> Log:
        self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        self._file.close()

    def step(self, stage: str) -> None:
        """One more step is done."""
        self._bar.update(self._task, advance=1, description=stage)

    def report(self, step: int, stage: str, rate: float, speed: float, loss: float, terms: Mapping[str, float]) -> None:
        """Write a row: means since the last one. `speed` is samples per second, `rate` the schedule's factor."""
        values = {"loss": loss, **terms}
        row = {"step": step, "stage": stage, "rate": f"{rate:.4g}", "samples_per_second": f"{speed:.1f}"}
        self._writer.writerow(row | {name: f"{value:.6g}" for name, value in values.items()})
        self._file.flush()
        note = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.update(self._task, note=f"{speed:.0f} samples/s  {note}")
