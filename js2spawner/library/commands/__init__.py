"""The subcommands of `js2 image`, a module each."""
