"""What a recording cannot show: how throughput scales with cores and tunnels, by architecture.

`engine` simulates WireGuard's data path, `reference` is the same rules written for reading, `closed` and
`fits` hold what is known without simulating, `costs` the parameters, `predict` the answers.
"""
