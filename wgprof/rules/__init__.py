"""Bottleneck signatures: small pure functions over the analysis of a recording."""
