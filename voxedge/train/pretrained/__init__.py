"""Training on top of a pretrained network that stays as it is: a model file of embeddings.

Embeddings of the training clips and of degraded copies are computed once and kept on disk
(``cache``); then a head for the speakers is trained on them in seconds (``loop``). The network runs
through ONNX Runtime, as on a device, in training (``trunk``) and in evaluation (``network``).
"""
