"""Options that would do nothing, refused before anything is read: who gives one expects something of it."""

from argparse import Namespace

from tincture.common.errors import InputError

NEEDS = {
    "mask": ("init_image",),
    "outpaint": ("init_image",),
    "strength": ("init_image",),
    "fidelity": ("target",),
    "luminance_fidelity": ("luminance",),
    "dither_draws": ("dither",),
    "guidance_scale": ("class_label", "luminance"),
    "negative_scale": ("negative_class",),
    "style_strength": ("style",),
    "strip": ("palette_to",),
    "shape_padding": ("sprite_sheet",),
    "border_padding": ("sprite_sheet",),
    "duration": ("sprite_sheet", "variants_gif"),
}
"""Option → the options without any of which it does nothing."""


def check_idle_options(options: Namespace, defaults: Namespace) -> None:
    """Raise InputError if an option that differs from its default has nothing to act on."""
    changed = [name for name, value in vars(options).items() if value != getattr(defaults, name)]
    for name in changed:
        if name in NEEDS and not set(NEEDS[name]) & set(changed):
            needed = " or ".join(map(flag, NEEDS[name]))
            raise InputError(f"{flag(name)} does nothing without {needed}: add that, or leave it out")


def flag(name: str) -> str:
    """An option as it is typed."""
    return f"--{name.replace('_', '-')}"
