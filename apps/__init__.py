"""The command line: Typer commands, and everything Rich. Thin over the library."""
