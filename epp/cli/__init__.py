"""The command line: flags and subcommands in, a running process out."""
