"""Recipes for the tests of training: small ones, with nothing on that a test does not ask for."""

from __future__ import annotations

from voxedge.train.recipe import Recipe

_SMALL = {
    "name": "tiny",
    "frontend": {"image_size": 32, "window_seconds": 0.5, "n_mels": 40, "hop_length": 160},
    "model": {"width": 0.25, "statistics": False},
    "loss": {"margin": 0.0, "auxiliary_heads": False, "refit": False, "center": "none"},
    "augment": dict.fromkeys(
        ("noise", "rooms", "channel", "gain", "shorter", "frequency_mask", "time_mask"), 0.0
    ),
    "training": {"min_steps": 1, "average": 0.0},
}


def small(**sections: dict[str, object]) -> Recipe:
    """A small recipe with some values changed, by section: ``small(training={"epochs": 2})``."""
    changes = {
        f"{s}.{key}": value for s, values in sections.items() for key, value in values.items()
    }
    return Recipe.from_dict(_SMALL).with_values(changes)
