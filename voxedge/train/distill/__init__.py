"""Distillation: a student network learns the embeddings of a teacher, from degraded crops.

Hinton et al. 2015, "Distilling the knowledge in a neural network"; for embeddings of speakers Wang
et al. 2019, "Knowledge distillation for small foot-print deep speaker embedding". The teacher is a
model file of ``voxedge fold``. Labels are not needed.
"""
