"""A moment of fuzzing without a fuzzer: right inputs, and some that were damaged at random."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.table import TARGETS

_DAMAGED = 25  # of each target; make fuzz tries thousands


@pytest.mark.parametrize("name", [name for name in TARGETS if not name.startswith("any-")])
def test_right_and_damaged_inputs_are_answered_or_refused(name):
    target, chance = TARGETS[name], random.Random(name)
    seeds = list(target.seeds())
    for seed in seeds:
        target.run(seed)
    for _ in range(_DAMAGED):
        target.run(_damaged(chance, seeds, target.words))


def _damaged(chance: random.Random, seeds: list[bytes], words: tuple[str, ...]) -> bytes:
    """An input with bytes changed, a part cut out, a word put in, or another one's end."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1) if chance.random() < 0.5 else chance.randrange(64)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                del data[at : at + chance.randint(1, 99)]
            case 2:
                data[at:at] = chance.choice(words).encode()
            case _:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)
