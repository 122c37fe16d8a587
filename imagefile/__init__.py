"""Image files that strangers made: what they are, and how they become ours.

Everything that comes in (upload, import, a copy of a VM's disk) passes `job`, and only `qemu_img` runs qemu-img.
Knows no Django and no app.
"""
