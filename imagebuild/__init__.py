"""Builds the bootable images the control plane needs from Debian packages.

Three products: `probe` (kernel and initramfs that prove an accelerator works), `tiny` (a disk of a few
megabytes that boots the same kernel and busybox in seconds) and `debian-12` (the vendor's cloud image, or
the same thing built from packages where the vendor cannot be reached).

Nothing is installed on the machine, no loop device is used, and the standard library is all it imports: it
runs before the virtual environment exists.
"""
