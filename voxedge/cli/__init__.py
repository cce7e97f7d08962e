"""The command line: a file for each command, and what people see of it."""
