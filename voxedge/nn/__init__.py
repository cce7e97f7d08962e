"""The network in PyTorch: front ends, trunks, heads, losses and augmentation."""
