"""The parts of the network that PyTorch trains: front end, trunk, losses, augmentation."""
