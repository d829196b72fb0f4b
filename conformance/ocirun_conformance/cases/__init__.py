"""The cases, one module per subject. Each is found by being here."""
