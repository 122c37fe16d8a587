from django.apps import AppConfig


class EnvelopeConfig(AppConfig):
    name = "apps.envelope"
