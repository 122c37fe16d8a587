"""Policies: YAML files that say which hosts may take a VM and which of them is best. Knows no Django.

``tree`` reads YAML into nodes and refuses what is dangerous, ``kinds`` checks nodes against a grammar, ``language``
is that grammar, ``metrics`` names what can be weighed, ``model`` is what a policy is after reading.
"""
