"""The catalogue of sizes that every installation starts with."""

from django.db import migrations

SIZES = [
    ("s-1vcpu-512mb", 1, 512, 10),
    ("s-1vcpu-1gb", 1, 1024, 25),
    ("s-1vcpu-2gb", 1, 2048, 50),
    ("s-2vcpu-2gb", 2, 2048, 60),
    ("s-2vcpu-4gb", 2, 4096, 80),
    ("s-4vcpu-8gb", 4, 8192, 160),
    ("s-8vcpu-16gb", 8, 16384, 320),
]


def add_sizes(apps, schema_editor):
    size = apps.get_model("compute", "Size")
    for name, vcpus, memory_mib, disk_gib in SIZES:
        size.objects.get_or_create(
            name=name, defaults={"vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
        )


class Migration(migrations.Migration):
    dependencies = [("compute", "0001_initial")]

    operations = [migrations.RunPython(add_sizes, migrations.RunPython.noop)]
