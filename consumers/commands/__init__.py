"""The commands of `corpus`, one a module: HELP, `arguments(parser)`, `run(options)`."""
