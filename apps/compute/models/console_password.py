"""One-time passwords for the console, on their way from the worker that set one to the person who asked."""

from django.conf import settings
from django.db import models

from apps.compute.models.vm import VM


class ConsolePassword(models.Model):
    """Sealed by the worker for a key that only the cache has, shown once, deleted then.

    Its id is that of the operation that sets it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="console_passwords")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="console_passwords")
    login = models.CharField(max_length=32, help_text="The user of the guest.")
    public_key = models.BinaryField(max_length=32, help_text="X25519; the worker seals the password for it.")
    sealed = models.BinaryField(null=True, help_text="The password, once it is set, for who has the private key.")
    must_change = models.BooleanField(default=False, help_text="Whether the guest asks for another one at sign-in.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"of {self.login} on {self.vm_id}"
