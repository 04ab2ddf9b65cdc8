import builtins

import pytest

from tincture.common.errors import InputError
from tincture.common.plotting import require_matplotlib


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"requirements-app\.txt"):
        require_matplotlib()
