from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def name_packages(apps: Any, editor: Any) -> None:
    """Say of which package each tarball is; a process of the old version may go on making them by rule."""
    repacked = apps.get_model("bugversions", "Repacked")
    for row in repacked.objects.using(editor.connection.alias).select_related("rule").iterator():
        row.package = row.rule.package
        row.save(update_fields=["package"])


class Migration(migrations.Migration):
    dependencies = [("bugversions", "0006_advisory_texts")]

    operations = [
        migrations.CreateModel(
            name="Clock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("told_until", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="repacked", name="package", field=models.CharField(db_default="", max_length=255)
        ),
        migrations.RunPython(name_packages, migrations.RunPython.noop),
        migrations.RemoveConstraint(model_name="repacked", name="repacked_once"),
        # The column stays for processes of the old version, and binds nothing any more.
        migrations.AlterField(
            model_name="repacked",
            name="rule",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                to="bugversions.bugversion",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="repacked", name="rule")]
        ),
        migrations.AddIndex(
            model_name="repacked", index=models.Index(fields=["package", "number"], name="repacked_of")
        ),
    ]
