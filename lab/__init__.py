"""Full libvirt hosts on one machine, each in its own namespaces: for trying several hosts, and for the tests.

    with Lab(prefix="demo", hosts=2) as lab:
        lab.hosts[0].virsh("list", "--all")

A host has its own network, mounts, processes and name; its own /etc, /run, /var/lib/libvirt, host keys,
libvirtd and sshd. All hosts hang on one bridge that the machine itself can reach, and route to a namespace
called "outside" that plays the internet: a DNS server and an HTTP listener. Needs root, libvirt and QEMU;
changes nothing outside its own state and disk directories.
"""

from lab.errors import LabError
from lab.host import Host
from lab.laboratory import Lab
from lab.outside import Outside

__all__ = ["Host", "Lab", "LabError", "Outside"]
