"""Ctrl-C and SIGTERM during training: the run finishes its step and saves it before it stops."""

import signal
import threading
from types import FrameType

from .files import is_process_lost

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedBySignalError(Exception):
    """A signal stopped the training, which can go on later.

    Args:
        signal_number: the signal.
        step: the step that was saved.
    """

    def __init__(self, signal_number: int, step: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}: step {step} is saved, go on with --resume")


class SignalWatch:
    """A context that notes the first of `SIGNALS` instead of ending the process.

    A second signal ends it as usual.

    Only a process's main thread receives signals, so in other threads this context does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "SignalWatch":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._restore()
        if self.received is not None and error is not None and is_process_lost(error):
            signal.raise_signal(self.received)  # the step can't be finished

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
