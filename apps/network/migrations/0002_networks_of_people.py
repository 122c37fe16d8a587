import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F


def name_the_builtin(apps, schema_editor):
    """Until now there was only the host's own network, under its libvirt name."""
    apps.get_model("network", "Network").objects.update(libvirt_name=F("name"), name="default", shared=True)


def name_as_before(apps, schema_editor):
    apps.get_model("network", "Network").objects.update(name=F("libvirt_name"))


class Migration(migrations.Migration):
    dependencies = [
        ("network", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="network", name="network_name_unique_per_host"),
        migrations.AddField(
            model_name="network",
            name="owner",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="networks",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="shared",
            field=models.BooleanField(default=False, help_text="Whether everybody may put machines into it."),
        ),
        migrations.AddField(
            model_name="network",
            name="libvirt_name",
            field=models.CharField(
                default="", help_text="From ids alone, never from what somebody typed.", max_length=63
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="network",
            name="device",
            field=models.CharField(blank=True, help_text="LAN: the host's bridge or network card.", max_length=15),
        ),
        migrations.AddField(
            model_name="network",
            name="is_bridge",
            field=models.BooleanField(
                default=False, help_text="LAN: whether the device is a bridge; else macvtap."
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="phase",
            field=models.CharField(
                choices=[("creating", "Creating"), ("ready", "Ready"), ("error", "Error"), ("deleting", "Deleting")],
                default="ready",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="reason",
            field=models.CharField(blank=True, help_text="Why the phase is error.", max_length=500),
        ),
        migrations.AlterField(
            model_name="network",
            name="kind",
            field=models.CharField(
                choices=[("nat", "NAT"), ("isolated", "Isolated"), ("lan", "LAN")], default="nat", max_length=8
            ),
        ),
        migrations.AlterField(
            model_name="network",
            name="cidr",
            field=models.CharField(
                blank=True, help_text="For example 192.168.150.0/24; none in a LAN.", max_length=18
            ),
        ),
        migrations.AlterField(
            model_name="network",
            name="bridge",
            field=models.CharField(blank=True, max_length=15),
        ),
        migrations.RunPython(name_the_builtin, name_as_before),
        migrations.AddConstraint(
            model_name="network",
            constraint=models.UniqueConstraint(fields=("host", "libvirt_name"), name="network_once_on_its_host"),
        ),
        migrations.AddConstraint(
            model_name="network",
            constraint=models.UniqueConstraint(fields=("owner", "name"), name="network_name_unique_per_owner"),
        ),
        migrations.AddConstraint(
            model_name="network",
            constraint=models.UniqueConstraint(
                condition=models.Q(("owner__isnull", False), ("shared", True)),
                fields=("name",),
                name="network_name_unique_if_shared",
            ),
        ),
    ]
