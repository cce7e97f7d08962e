"""Decode clips of strangers in processes of their own, with limits on time, memory and rights.

A file that makes a decoder crash, hang or allocate without end costs its own answer and nothing
else. ``decoders`` is the caller's side, ``worker`` the other one, ``messages`` what goes between
them, ``confine`` what the worker gives up before it reads anything.
"""
