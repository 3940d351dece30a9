"""The simulator's rules written to be read, with simpy: slow, for small cases, and the judge of the fast one.

The same rules as `engine`, event for event; only random numbers and initial placement are shared with it.
Needs simpy, which only wgprof's tests and benchmarks install.
"""
