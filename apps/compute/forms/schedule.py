"""The form of a schedule. It collects; the service decides what is right."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.utils import timezone

from apps.compute.models import Action, Schedule
from apps.compute.models.schedule import KEPT
from apps.compute.timetable import DAYS, zone_names

WEEKLY, ONCE = "weekly", "once"
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class ScheduleCreateForm(forms.Form):
    """What and when: every week on days at a time, or once at a moment; both as clocks in the time zone show it."""

    action = forms.ChoiceField(choices=Action.choices)
    keep = forms.IntegerField(
        label="How many to keep",
        required=False,
        help_text="The oldest that this schedule took are deleted when there are more. Those made by hand stay.",
        widget=forms.NumberInput(attrs={"min": 1, "inputmode": "numeric"}),
    )
    repeat = forms.ChoiceField(choices=[(WEEKLY, "Every week"), (ONCE, "Once")], widget=forms.RadioSelect)
    weekdays = forms.MultipleChoiceField(
        label="Days",
        choices=list(zip(DAYS, DAY_NAMES, strict=True)),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    time = forms.CharField(required=False, widget=forms.TimeInput(attrs={"type": "time"}))
    once_at = forms.DateTimeField(
        label="Day and time", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    time_zone = forms.CharField(
        label="Time zone",
        max_length=64,
        help_text="Follows changes to daylight saving time.",
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, data: Any = None, *, now: dict[str, Any] | None = None) -> None:
        first: dict[str, Any] = {"action": Action.START, "repeat": WEEKLY, "weekdays": list(DAYS[:5]), "time": "07:00"}
        first["keep"] = min(KEPT, settings.SNAPSHOTS_PER_VM)
        super().__init__(data, initial={**first, "time_zone": "UTC", **(now or {})})
        if data is None and now is None:
            self.fields["time_zone"].widget.attrs["data-own-time-zone"] = True

    @property
    def zones(self) -> list[str]:
        """The names to choose from."""
        return sorted(zone_names())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("repeat") == ONCE and not data.get("once_at") and "once_at" not in self.errors:
            self.add_error("once_at", "Choose a day and a time.")
        return data

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.schedule_create``."""
        data = self.cleaned_data
        if data["repeat"] == ONCE:
            when: dict[str, Any] = {"once_at": self._moment(data["once_at"], data["time_zone"])}
        else:
            when = {"weekdays": data["weekdays"], "time": data["time"]}
        if data["action"] == Action.SNAPSHOT and data["keep"] is not None:
            when["keep"] = data["keep"]
        return {"action": data["action"], "time_zone": data["time_zone"], **when}

    def _moment(self, typed: datetime, zone: str) -> datetime:
        """What was typed are the hands of a clock in that zone. An unknown zone is for the service to refuse."""
        return timezone.make_naive(typed).replace(tzinfo=ZoneInfo(zone) if zone in zone_names() else UTC)


class ScheduleUpdateForm(ScheduleCreateForm):
    """The same, filled with how a schedule is, and whether it runs."""

    enabled = forms.BooleanField(label="Enabled", required=False)

    def __init__(self, schedule: Schedule, data: Any = None) -> None:
        when: dict[str, Any] = {"repeat": ONCE if schedule.once_at else WEEKLY}
        if schedule.once_at:
            local = schedule.once_at.astimezone(ZoneInfo(schedule.time_zone))
            when["once_at"] = f"{local:%Y-%m-%dT%H:%M}"
        else:
            when |= {"weekdays": [DAYS[day] for day in schedule.weekdays], "time": f"{schedule.time:%H:%M}"}
        if schedule.keep is not None:
            when["keep"] = schedule.keep
        what = {"action": schedule.action, "time_zone": schedule.time_zone, "enabled": schedule.enabled}
        super().__init__(data, now={**what, **when})

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.schedule_update``."""
        return {**super().wanted(), "enabled": self.cleaned_data["enabled"]}
