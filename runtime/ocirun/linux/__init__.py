"""One file or folder per kernel subsystem, all with the same doors: planners that are pure, and steps that do."""
