"""Checkpoint and restore with CRIU, driven by its RPC (`criu swrk`; see docs/design/checkpoint.md). Cold.

messages   CRIU's protocol buffers, as far as they are needed
service    one CRIU process, the dialogue with it, and its log
contents   what of a container belongs to the host, so that CRIU cannot make it; what must match at restore
dumping    `checkpoint`
restoring  `restore`
"""
