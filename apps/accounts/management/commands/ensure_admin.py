"""``manage.py ensure_admin``: the first administrator of a new installation."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.services import admin_ensure
from apps.errors import AppError


class Command(BaseCommand):
    help = "Make the user admin, unless there is an administrator. A random password is printed once."

    def handle(self, *args: Any, **options: Any) -> None:
        given = settings.CONFIG.admin_password
        try:
            made = admin_ensure(password=given.get_secret_value() if given else None)
        except AppError as error:
            raise CommandError(f"The first administrator cannot be made: {error.detail}") from error
        if made is None:
            return
        user, password = made
        self.stdout.write(f"User: {user.username}")
        self.stdout.write("Password: as given in CLOUDSITE_ADMIN_PASSWORD" if given else f"Password: {password}")
