"""Damage done to files at random, by seed: to bytes, and to values of JSON; and on purpose, to
tensors.
"""

import os

from safetensors.torch import load, save

MUTATIONS = int(os.environ.get("TINCTURE_MUTATIONS", "120"))
"""Of each format; docs/results/reliability.md says how many were tried once."""

STRANGE_VALUES = [
    *(None, True, False, -1, 0, 1, 3, 7.5, 2**31, 2**63, 10**30, 10**400, -1e308, float("nan"), float("inf")),
    *("", "x", "__import__('os')", "../../../etc/passwd", "\0", [], [[]], {}, {"a": {}}, ["os", "system"], [8] * 300),
]


def damaged(content, chance):
    """A copy with bits flipped, bytes cut out, doubled, replaced by extremes, or its end
    missing.
    """
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place : place + chance.randint(1, 16)]
            case 2:
                data[place:place] = data[place : place + chance.randint(1, 64)]
            case 3:
                data[place : place + 4] = chance.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
            case 4 if place > 16:
                del data[place:]
        data = data or bytearray(b"\0")
    return bytes(data)


def damaged_json(value, chance):
    """A copy of a JSON value with one of its values replaced by a strange one, or one of its keys
    removed or renamed.
    """
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(STRANGE_VALUES)
    copy = value.copy()
    key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
    match chance.randrange(8) if isinstance(value, dict) else 7:
        case 0:
            del copy[key]
        case 1:
            copy[f"{key}_"] = copy.pop(key)
        case _:
            copy[key] = damaged_json(value[key], chance)
    return copy


def change(file, edit):
    """Change the tensors of a safetensors file of a folder: damage to be done to that folder."""

    def damage(folder):
        tensors = load((folder / file).read_bytes())
        edit(tensors)
        (folder / file).write_bytes(save(tensors))

    return damage
