"""What a training run says: a CSV file with one row per report, a progress bar with speed and time left, TensorBoard."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from likeness.errors import UsageError


class Log:
    """Rows of (step, stage, rate, samples per second, loss, terms) in a CSV file, and the same on a progress bar."""

    def __init__(
        self,
        path: Path,
        terms: Sequence[str],
        steps: int,
        start: int,
        console: Console | None = None,
        board: bool = False,
    ) -> None:
        """Continue the file at `path`: rows of steps after `start` (from a run that went on after its last
        checkpoint) are dropped. Whenever the process is killed, the rows before are on disk.

        Args:
            terms: Names of all terms of all stages, in the order of their columns.
            steps: Steps of the whole run.
            start: Steps already done.
            board: Whether to write for TensorBoard too, into the folder `board` beside the file.

        Raises:
            UsageError: When TensorBoard is wanted and not installed.
        """
        self._board = _board(path.parent / "board", start) if board else None
        self.columns = ["step", "stage", "rate", "samples_per_second", "loss", *terms]
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if start and path.exists():
            with path.open(newline="") as file:  # a row without all its columns was torn by a kill
                whole = [row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdigit()]
            kept = [row for row in whole if int(row["step"]) <= start]
        beside = path.with_name(path.name + ".part")
        with beside.open("w", newline="") as file:
            rows = csv.DictWriter(file, self.columns, extrasaction="ignore")
            rows.writeheader()
            rows.writerows(kept)
        os.replace(beside, path)
        self._file = path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, self.columns, extrasaction="ignore")
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=console or Console(stderr=True),
            refresh_per_second=2,
        )
        self._task = self._bar.add_task("training", total=steps, completed=start, note="")

    def __enter__(self) -> Log:
        self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        self._file.close()
        if self._board:
            self._board.close()

    def tell(self, line: str) -> None:
        """A line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def step(self, stage: str) -> None:
        """One more step is done."""
        self._bar.update(self._task, advance=1, description=stage)

    def report(self, step: int, stage: str, rate: float, speed: float, loss: float, terms: Mapping[str, float]) -> None:
        """Write a row: means since the last one. `speed` is samples per second, `rate` the schedule's factor."""
        values = {"loss": loss, **terms}
        row = {"step": step, "stage": stage, "rate": f"{rate:.4g}", "samples_per_second": f"{speed:.1f}"}
        self._writer.writerow(row | {name: f"{value:.6g}" for name, value in values.items()})
        self._file.flush()
        if self._board:
            for name, value in (*values.items(), ("rate", rate), ("samples_per_second", speed)):
                self._board.add_scalar(name, value, step)
            self._board.flush()
        note = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.update(self._task, note=f"{speed:.0f} samples/s  {note}")

    def picture(self, step: int, image: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 sRGB for TensorBoard, if that is wanted."""
        if self._board:
            self._board.add_image("faces", image, step, dataformats="HWC")


class Silence:
    """The log of the processes that write nothing."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def tell(self, line: str) -> None:
        """Nothing."""

    def step(self, stage: str) -> None:
        """Nothing."""

    def report(self, step: int, stage: str, rate: float, speed: float, loss: float, terms: Mapping[str, float]) -> None:
        """Nothing."""

    def picture(self, step: int, image: np.ndarray) -> None:
        """Nothing."""


def _board(folder: Path, start: int) -> Any:
    """TensorBoard's writer; what a run wrote after its last checkpoint is dropped."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise UsageError("`--board` needs tensorboard: pip install 'likeness[board]'") from None
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)
