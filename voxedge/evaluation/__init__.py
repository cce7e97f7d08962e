"""How good a model is: its answers on labelled clips, the figures, the page, and comparisons."""
