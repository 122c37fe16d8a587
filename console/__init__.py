"""The gateway between a browser's WebSocket and a console of a machine.

A process of its own: it holds connections to hosts, which the web process must not, and a fault of libvirt's client
library ends consoles, not pages. The web process passes its WebSockets on to the Unix socket this one listens on.
"""
