"""What the OCI runtime documents say, as data and pure rules.

Nothing here makes a system call and nothing here imports the runtime. Hot modules, which the runtime loads on every
command, import nothing outside this package: `jsontext`, `accept`, `rules`, `names`, `mount_options`, `version`.
`fallback` serves a Python without the launcher. The rest (`properties`, `schema`, `generate`, `problems`, `positions`)
is for validation, tests and error messages.
"""
