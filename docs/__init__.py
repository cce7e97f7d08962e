"""The documents, what writes their tables (``docs.make``) and what checks their commands."""
