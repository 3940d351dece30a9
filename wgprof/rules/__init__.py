"""Bottleneck signatures: small pure functions over the analysis of a recording.

diagnosis = diagnose(analyse(recording), recording)     wgprof.rules.diagnose
diagnosis.findings, diagnosis.outcomes                  wgprof.rules.finding
"""
