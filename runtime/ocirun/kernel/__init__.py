"""Thin typed system calls, one module per family: the only place that knows numbers, structs and flags."""
