"""The perf tool's output, understood: pure parsers with typed results.

The agent runs perf (wgprof/agent/perf.py) and passes on what it prints; nothing here starts a process.
The text comes from another machine and is untrusted: every parser is bounded and skips what it does not
know, and counts it.
"""
