"""The decision: a pure function ``(snapshot, request, policy) → decision with trace``. No Django, no I/O.

The same code places a VM, previews a placement, explains an old one and answers what-if questions. ``snapshot`` holds
the hosts as columns, ``filters`` say who may, ``terms`` who is better, ``decide`` puts them together, ``words`` says
why in sentences.
"""
