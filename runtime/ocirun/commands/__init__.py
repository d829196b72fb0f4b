"""One small file per command; `cli` imports just the one that was asked for."""
