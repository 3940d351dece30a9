"""`python -m wgprof`: the command line."""

from wgprof.cli import main

main()
