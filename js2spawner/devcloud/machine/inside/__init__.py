"""What runs as the machine itself: its first process, its view of the files and its boot log.

Standard library only, started as `python -m inside` from the folder above, so that a machine powers on without
importing anything of the embedded cloud. Imports in here are relative for that reason.
"""
