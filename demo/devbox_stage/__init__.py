"""What the demo, the tests on a cluster and the benchmarks stand on: kubectl, waiting, certificates, the stand-in for the APIs, the
release."""
