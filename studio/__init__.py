"""The page in the browser, and its tools for programs and agents; only here is gradio imported."""
