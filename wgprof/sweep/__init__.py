"""Sweeps: a matrix of recordings, one after another in an order that lets drift cancel, in one file."""
