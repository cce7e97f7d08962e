"""``python -m bench.classes``: what the classes of a head cost in a step of training.

Head, margin, cross-entropy, backward pass and optimiser on a batch of ready embeddings, on one
thread; and the bytes of their weights, gradients, moments and running average.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Annotated

import torch
import torch.nn.functional as F
import typer

from bench import cli
from voxedge.nn.losses import with_margin
from voxedge.nn.speaker_net import CosineHead

_TURNS, _WARM_UP = 15, 3
_COPIES = 5  # of the weights: themselves, gradients, two moments of Adam, the running average

app = cli.new_app()


@app.command()
def main(
    classes: Annotated[list[int] | None, typer.Argument(help="How many there are.")] = None,
    batch: Annotated[int, typer.Option(help="Embeddings of a step.")] = 32,
    embedding_dim: Annotated[int, typer.Option(help="Dimensions of an embedding.")] = 640,
) -> None:
    """Print one JSON object for each number of classes."""
    torch.set_num_threads(1)
    for count in classes or [200, 1_251, 10_000]:
        milliseconds = step_milliseconds(count, batch, embedding_dim)
        print(
            json.dumps(
                {
                    "classes": count,
                    "batch": batch,
                    "embedding_dim": embedding_dim,
                    "step_processor_ms": round(milliseconds, 2),
                    "training_MB": round(_COPIES * 4 * count * embedding_dim / 1e6, 1),
                }
            )
        )


def step_milliseconds(classes: int, batch: int, embedding_dim: int) -> float:
    """Processor time of a step: the median, since other programs share the core."""
    torch.manual_seed(0)
    head = CosineHead(embedding_dim, classes, 30.0)
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3)
    embedding = torch.randn(batch, embedding_dim, requires_grad=True)
    labels = torch.randint(classes, (batch,))
    times = []
    for turn in range(_WARM_UP + _TURNS):
        start = time.process_time()
        F.cross_entropy(with_margin(head(embedding), labels, 30.0, 0.2), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        if turn >= _WARM_UP:
            times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.classes", None))
