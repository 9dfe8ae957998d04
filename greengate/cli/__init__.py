"""The command line: flags, one call, an exit code."""
