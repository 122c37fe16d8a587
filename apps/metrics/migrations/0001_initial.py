import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# As they are at this point; the tables of later versions follow by further migrations.
SERIES = {
    "host": [
        "cpu", "iowait", "steal", "load1", "psi_cpu", "psi_memory", "psi_io", "memory_total", "memory_available",
        "swap_total", "swap_used", "disk_read", "disk_write", "disk_read_ops", "disk_write_ops", "net_receive",
        "net_transmit", "temperature", "watts",
    ],
    "vm": [
        "cpu", "memory", "memory_available", "memory_total", "disk_read", "disk_write", "net_receive", "net_transmit",
    ],
}
LEVELS = ["raw", "minute", "five", "hour"]


def columns(kind, level):
    """No double precision: seven digits are more than a meter has, and these tables are the largest of all."""
    if level == "raw":
        found = [f"{name} real" for name in SERIES[kind]]
        return found + (["cores real[]"] if kind == "host" else [])
    return ["samples integer NOT NULL"] + [f"{name}_{what} real" for name in SERIES[kind] for what in ("avg", "max")]


def create(kind, level):
    given = ", ".join(columns(kind, level))
    return (
        f"CREATE TABLE metrics_{kind}_{level} ({kind}_id uuid NOT NULL, at timestamptz NOT NULL, {given}, "
        f"PRIMARY KEY ({kind}_id, at)) PARTITION BY RANGE (at)"
    )


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('hosts', '0008_placement_groups'),
    ]

    operations = [
        migrations.CreateModel(
            name='TouchedWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host_id', models.UUIDField()),
                ('step', models.PositiveIntegerField(help_text='Seconds of the window.')),
                ('at', models.DateTimeField(help_text='Where it begins.')),
                ('vms', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), help_text='Machines with samples in it.', size=None)),
            ],
            options={
                'ordering': ['at'],
                'constraints': [models.UniqueConstraint(fields=('at', 'step', 'host_id'), name='touched_window_once')],
            },
        ),
        migrations.CreateModel(
            name='Reporter',
            fields=[
                ('host', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='reporter', serialize=False, to='hosts.host')),
                ('agent', models.CharField(blank=True, help_text='Version of the agent.', max_length=64)),
                ('boot_id', models.CharField(blank=True, max_length=64)),
                ('machine_id', models.CharField(blank=True, max_length=64)),
                ('energy_source', models.CharField(blank=True, help_text='Where the watts come from.', max_length=16)),
                ('last_at', models.DateTimeField(help_text="Time of the newest sample, by the agent's clock.", null=True)),
                ('received_at', models.DateTimeField(help_text='When the last batch came, by our clock.', null=True)),
                ('skew_seconds', models.FloatField(default=0, help_text="How far our clock is ahead of the agent's.")),
                ('foreign_guests', models.BigIntegerField(default=0, help_text='Values about machines that are not on this host.')),
                ('refused_samples', models.BigIntegerField(default=0, help_text='Samples that were too old, or from the future.')),
                ('schedule_seen', models.PositiveIntegerField(default=0, help_text='The schedule in force at the agent.')),
                ('schedule_version', models.PositiveIntegerField(default=0, help_text="0: the agent's own default.")),
                ('interval', models.PositiveSmallIntegerField(default=5, help_text='Seconds between two samples.')),
                ('guests', models.BooleanField(default=True, help_text='Whether guests are measured, too.')),
                ('cores', models.BooleanField(default=True, help_text='Whether each core is reported.')),
            ],
            options={
                'ordering': ['host'],
            },
        ),
        *[
            migrations.RunSQL(create(kind, level), f"DROP TABLE metrics_{kind}_{level}")
            for kind in SERIES
            for level in LEVELS
        ],
    ]
