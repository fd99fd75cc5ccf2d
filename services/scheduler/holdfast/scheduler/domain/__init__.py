"""What a job and a run may do, decided without I/O: `job`, `run`, `selection`, `slots`."""
