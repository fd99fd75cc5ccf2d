"""`holdfast demo`: a real backup, change, a second backup, and the proof that backup and org agree."""
