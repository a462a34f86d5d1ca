"""Disk images for instances, each built from a folder that defines it. As root, on Debian.

`definition` reads the folder, `system` makes its files, `disk` makes those bootable, `build` puts them together and
keeps what was built. `lab` is the one definition there is.
"""
