"""From a finished run to one model file: trace -> passes -> parity -> seal -> write."""
