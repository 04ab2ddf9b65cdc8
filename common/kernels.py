"""Loops that numba compiles, loaded only where that pays.

To import numba and load what it compiled before takes longer than to reduce a photograph; to
compile it, once for each machine, far longer. So a kernel may have a stand-in of NumPy's operations
that forms the same sums in the same order and precision. Compiled kernels take over where one has
no stand-in, and in a process that works for some time.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, update_wrapper
from typing import Any

logger = logging.getLogger(__name__)

WORK_SECONDS = 5.0
"""A process that has kept a processor busy for so long has more work than numba takes to load."""

MANY_PICTURES = 12
"""Whoever reduces so many, as large as photographs, saves more time than numba takes to load."""

_lock = threading.RLock()
_is_loaded = False


def is_compiled() -> bool:
    """Whether kernels are compiled in this process; before, stand-ins do their work."""
    return _is_loaded or time.process_time() > WORK_SECONDS


def load_kernels() -> None:
    """Compile from now on: there is much to do."""
    _load_numba()


def threads() -> int:
    """How many threads kernels may work in: ``NUMBA_NUM_THREADS``, or one for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("NUMBA_NUM_THREADS", cores))


class Kernel:
    """A function that numba compiles at its first call and keeps for other processes."""

    def __init__(self, function: Callable, plain: Callable | None, options: dict[str, Any]) -> None:
        update_wrapper(self, function)
        self.plain = plain
        """What stands in for it without numba, if anything does."""
        self._options = options

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function or its stand-in."""
        if self.plain is not None and not is_compiled():
            return self.plain(*arguments)
        return self.compiled(*arguments)

    @cached_property
    def compiled(self) -> Callable:
        """The function as numba compiles it, for each kind of arguments at their first call."""
        with _lock:
            njit = _load_numba()
            return njit(cache=True, nogil=True, **self._options)(self.__wrapped__)


def kernel(function: Callable | None = None, *, plain: Callable | bool = False, **options: Any) -> Any:
    """Make a function a `Kernel`.

    Args:
        function: loops over arrays.
        plain: what stands in for it without numba; True if that is the function itself.
        options: of ``numba.njit``.
    """
    if function is None:
        return lambda function: kernel(function, plain=plain, **options)
    return Kernel(function, function if plain is True else plain or None, options)


@contextmanager
def _without_scipy() -> Iterator[None]:
    """Hide SciPy from what is imported in the block, if it isn't loaded yet."""
    is_new = sys.modules.setdefault("scipy", None) is None
    try:
        yield
    finally:
        if is_new:
            del sys.modules["scipy"]


@cache
def _load_numba() -> Callable:
    """``numba.njit``, when kernels can call each other and it is told that they are compiled."""
    global _is_loaded  # noqa: PLW0603
    # numba would load SciPy's linear algebra, for products of matrices that no kernel has.
    with _without_scipy():
        import numba.np.arraymath  # noqa: F401
        from numba import njit
    from numba.core import event, types
    from numba.extending import models, register_model, typeof_impl

    class AnyNumber(types.Dispatcher):
        """A kernel that isn't compiled anew for each constant that another one calls it with."""

        def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
            return super().get_call_type(context, tuple(map(types.unliteral, args)), kws)

    class Teller(event.Listener):
        """Says once that there is something to wait for. What is compiled already isn't told."""

        def on_start(self, _: event.Event) -> None:
            _tell_once()

        def on_end(self, _: event.Event) -> None:
            pass

    register_model(AnyNumber)(models.OpaqueModel)
    typeof_impl.register(Kernel)(lambda value, _: AnyNumber(value.compiled))
    event.register("numba:compile", Teller())
    _is_loaded = True
    return njit


@cache
def _tell_once() -> None:
    logger.info("compiling for this machine, once: this takes up to a minute")
