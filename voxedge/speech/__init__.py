"""Where there is speech in a clip or a stream: a voice activity detector in NumPy alone."""
