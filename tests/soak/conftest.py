"""The box of the security tests: a private folder, and the host as it was afterwards."""

from security.conftest import box, runtime_binary

__all__ = ["box", "runtime_binary"]
