"""The attacks, one module per means. Each is found by being here."""
