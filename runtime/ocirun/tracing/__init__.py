"""--trace and `trace`: when each step of a plan was done, in the Trace Event Format of Chromium, and a drawing of it.

Cold. `recorder` notes the times, `chrome` writes and reads the file, `drawing` shows it on a terminal.
"""
