"""app.py: one line for each mistake, before anything is served."""

import socket

import pytest

from tincture import app
from tincture.common.errors import InputError


def test_a_missing_model_is_told(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint folder"):
        app.main(["--checkpoint", str(tmp_path / "nowhere")])


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(app, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install -r requirements-app\.txt"):
        app.main([])


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"the port {port} can't be listened on"):
            app.main(["--port", str(port)])
