"""What a probe tells people about an accelerator that does not work."""

import pytest

from workers.hosts import told


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        (
            "internal error: process exited while connecting to monitor: Could not access KVM kernel module\n"
            "2026-01-02T03:04:05.678901Z qemu-system-x86_64: failed to initialize kvm: Permission denied\n",
            "failed to initialize kvm: Permission denied.",
        ),
        ("no Linux kernel booted within 20 s", "no Linux kernel booted within 20 s."),
        ("", "no reason given."),
    ],
)
def test_a_refusal_is_one_sentence(detail: str, sentence: str) -> None:
    assert told(detail) == sentence


def test_a_long_one_is_cut() -> None:
    assert len(told("x" * 5000)) < 250
