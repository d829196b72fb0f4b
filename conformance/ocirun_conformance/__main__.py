"""`python -m ocirun_conformance`."""

from .cli import entry

if __name__ == "__main__":
    entry()
