"""What tests share: bundles, a runtime driver, host snapshots, consoles and facility probes.

Rules: nothing here imports the runtime under test; every wait has a deadline; every helper that starts a process
ends it by pid; nothing is written outside the directories that the caller names and the repository's `build/`.
"""
