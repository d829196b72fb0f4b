"""A suite that judges any OCI runtime by its command line: `ocirun-conformance --runtime PATH`."""
