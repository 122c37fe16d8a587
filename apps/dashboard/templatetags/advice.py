"""What a person can do after an operation failed."""

from typing import Any

from django import template

register = template.Library()

ADVICE = {
    "placement.no_host_fits": "Free some room, open or add a host, or choose a smaller size. Then retry.",
    "placement.contended": "Others took the room at the same moment. Retry.",
    "network.full": "Every address of the network is taken. Delete a machine that is not needed, then retry.",
    "operation.deadline": "It took too long and was stopped. Look at the host's page, then retry.",
    "operation.crashes": "It made the worker crash several times. The log has the details (make logs).",
    "host-unreachable": "Check power and network of the host. Retry once its page says that it is up.",
    "host-busy": "The host has too much to do. Retry in a moment.",
    "host-trust": "Look at the host's page: its identity is not confirmed.",
    "host-key-changed": "Somebody reinstalled the host, or somebody is in between. Compare its key on the host's page.",
    "host-certificate-rejected": "Make the commands for the host anew on its page and run them there. Then retry.",
    "host-authentication-failed": "Run the commands on the host's page on the host, so that it lets us in. Then retry.",
    "host-rejected": "The host said no; its words are above. Change what it complains about, then retry.",
    "not-found-on-host": "Somebody removed it on the host. Delete it here, or put it back there and retry.",
    "host-out-of-space": "Free disk space on the host, then retry.",
    "host-out-of-memory": "Free memory on the host, then retry.",
    "host-conflict": "Something of the same name is on the host. Remove or rename it there, then retry.",
    "foreign-object": "It is not ours, so it is left alone. Rename it on the host, then retry.",
    "unsupported-by-host": "This host cannot do it. Update libvirt and QEMU there, or use another host.",
    "host-setup-incomplete": "Run the commands on the host's page on the host, then retry.",
    "guest-silent": "Wait until the machine has booted, or install qemu-guest-agent in it. Then retry.",
    "console_password.no_agent": "Wait until it has booted, or install and start qemu-guest-agent in it. Then retry.",
    "console_password.expired": "Ask for a new password on the console's page.",
    "vm.shutdown_timeout": "Sign in and shut it down from inside, retry, or power it off: that pulls the plug.",
    "vm.press_unknown": "Look whether the machine does what you wanted. If not, retry.",
    "image.not_sent": "Look at the image's page and at free disk space of the host, then retry.",
    "image.not_kept": "Somebody deletes it there, or its disk is full. Look at the host, then retry.",
    "network.not_ready": "Probe the host on its page: that makes the network. Then retry.",
    "internal": "This is a fault of Cloudsite. The log has the details under this operation's id (make logs).",
}


@register.filter
def advice(operation: Any) -> str:
    """The next step for a failed operation, in one or two sentences."""
    known = ADVICE.get(operation.error_code)
    if known:
        return known
    return "You can retry it." if operation.retryable else "Retrying would not help; change the request instead."
