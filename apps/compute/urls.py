"""Paths of virtual machines: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.compute.api import bulk as bulk_api
from apps.compute.api import clone
from apps.compute.api import console as console_api
from apps.compute.api import console_password as console_password_api
from apps.compute.api import image as image_api
from apps.compute.api import metrics as metrics_api
from apps.compute.api import nic as nic_api
from apps.compute.api import rebuild as rebuild_api
from apps.compute.api import rescue as rescue_api
from apps.compute.api import resize as resize_api
from apps.compute.api import schedule as schedule_api
from apps.compute.api import snapshot as snapshot_api
from apps.compute.api import vm as api
from apps.compute.api import volume as volume_api
from apps.compute.views import bulk as bulk_views
from apps.compute.views import console as console_views
from apps.compute.views import console_password as password_views
from apps.compute.views import graphs as graphs_views
from apps.compute.views import machine
from apps.compute.views import nic as nic_views
from apps.compute.views import rebuild as rebuild_views
from apps.compute.views import resize as resize_views
from apps.compute.views import schedule as schedule_views
from apps.compute.views import snapshot as snapshot_views
from apps.compute.views import trash as trash_views
from apps.compute.views import vm as views
from apps.compute.views import volume as volume_views

urlpatterns: list[URLPattern] = [
    path("vms/", views.vm_list, name="vm-list"),
    path("vms/<uuid:vm_id>/console/", console_views.vm_console, name="vm-console"),
    path("vms/<uuid:vm_id>/graphs/", graphs_views.vm_graphs, name="vm-graphs"),
    path("vms/<uuid:vm_id>/screen/", console_views.vm_screen, name="vm-screen"),
    path("vms/bulk/", bulk_views.vm_bulk, name="vm-bulk"),
    path("vms/<uuid:vm_id>/thumbnail/", console_views.vm_thumbnail, name="vm-thumbnail"),
    path("vms/trash/", trash_views.vm_trash, name="vm-trash"),
    path("vms/<uuid:vm_id>/restore/", trash_views.vm_restore, name="vm-restore"),
    path("vms/new/", views.vm_create, name="vm-create"),
    path("vms/<uuid:vm_id>/", views.vm_detail, name="vm-detail"),
    path("vms/<uuid:vm_id>/menu/", views.vm_menu, name="vm-menu"),
    path("vms/<uuid:vm_id>/edit/", views.vm_update, name="vm-update"),
    path("vms/<uuid:vm_id>/start/", views.vm_start, name="vm-start"),
    path("vms/<uuid:vm_id>/shutdown/", views.vm_shutdown, name="vm-shutdown"),
    path("vms/<uuid:vm_id>/power-off/", views.vm_power_off, name="vm-power-off"),
    path("vms/<uuid:vm_id>/reboot/", views.vm_reboot, name="vm-reboot"),
    path("vms/<uuid:vm_id>/reset/", views.vm_reset, name="vm-reset"),
    path("vms/<uuid:vm_id>/pause/", views.vm_pause, name="vm-pause"),
    path("vms/<uuid:vm_id>/resume/", views.vm_resume, name="vm-resume"),
    path("vms/<uuid:vm_id>/clone/", machine.vm_clone, name="vm-clone"),
    path("vms/<uuid:vm_id>/resize/", resize_views.vm_resize, name="vm-resize"),
    path("vms/<uuid:vm_id>/rebuild/", rebuild_views.vm_rebuild, name="vm-rebuild"),
    path("vms/<uuid:vm_id>/image/", machine.vm_image, name="vm-image"),
    path("vms/<uuid:vm_id>/rescue/", machine.vm_rescue, name="vm-rescue"),
    path("vms/<uuid:vm_id>/unrescue/", machine.vm_unrescue, name="vm-unrescue"),
    path("vms/<uuid:vm_id>/insert/", machine.vm_insert, name="vm-insert"),
    path("vms/<uuid:vm_id>/eject/", machine.vm_eject, name="vm-eject"),
    path("vms/<uuid:vm_id>/delete/", views.vm_delete, name="vm-delete"),
    path("vms/<uuid:vm_id>/network/", nic_views.vm_network, name="vm-network"),
    path("vms/<uuid:vm_id>/nics/new/", nic_views.vm_nic_create, name="vm-nic-create"),
    path("nics/<uuid:nic_id>/delete/", nic_views.vm_nic_delete, name="vm-nic-delete"),
    path("vms/<uuid:vm_id>/port-forwards/new/", nic_views.vm_port_forward_create, name="vm-port-forward-create"),
    path("port-forwards/<uuid:forward_id>/delete/", nic_views.vm_port_forward_delete, name="vm-port-forward-delete"),
    path("vms/<uuid:vm_id>/console-password/", password_views.vm_console_password, name="vm-console-password"),
    path(
        "vms/<uuid:vm_id>/console-password/reveal/",
        password_views.vm_console_password_reveal,
        name="vm-console-password-reveal",
    ),
    path("vms/<uuid:vm_id>/protect/", views.vm_protect, name="vm-protect"),
    path("vms/<uuid:vm_id>/snapshots/", snapshot_views.vm_snapshots, name="vm-snapshots"),
    path("vms/<uuid:vm_id>/snapshots/new/", snapshot_views.snapshot_create, name="snapshot-create"),
    path("vms/<uuid:vm_id>/schedules/", schedule_views.vm_schedules, name="vm-schedules"),
    path("vms/<uuid:vm_id>/schedules/new/", schedule_views.schedule_create, name="schedule-create"),
    path("schedules/<uuid:schedule_id>/edit/", schedule_views.schedule_update, name="schedule-update"),
    path("schedules/<uuid:schedule_id>/enable/", schedule_views.schedule_enable, name="schedule-enable"),
    path("schedules/<uuid:schedule_id>/delete/", schedule_views.schedule_delete, name="schedule-delete"),
    path("snapshots/", snapshot_views.snapshot_list, name="snapshot-list"),
    path("snapshots/<uuid:snapshot_id>/revert/", snapshot_views.snapshot_revert, name="snapshot-revert"),
    path("snapshots/<uuid:snapshot_id>/delete/", snapshot_views.snapshot_delete, name="snapshot-delete"),
    path("vms/<uuid:vm_id>/volumes/", volume_views.vm_volumes, name="vm-volumes"),
    path("vms/<uuid:vm_id>/volumes/attach/", volume_views.vm_volume_attach, name="vm-volume-attach"),
    path("vms/<uuid:vm_id>/io-limits/", volume_views.vm_io_limits, name="vm-io-limits"),
    path("volumes/", volume_views.volume_list, name="volume-list"),
    path("volumes/new/", volume_views.volume_create, name="volume-create"),
    path("volumes/<uuid:volume_id>/", volume_views.volume_detail, name="volume-detail"),
    path("volumes/<uuid:volume_id>/edit/", volume_views.volume_update, name="volume-update"),
    path("volumes/<uuid:volume_id>/attach/", volume_views.volume_attach, name="volume-attach"),
    path("volumes/<uuid:volume_id>/detach/", volume_views.volume_detach, name="volume-detach"),
    path("volumes/<uuid:volume_id>/resize/", volume_views.volume_resize, name="volume-resize"),
    path("volumes/<uuid:volume_id>/delete/", volume_views.volume_delete, name="volume-delete"),
]
api_urlpatterns: list[URLPattern] = [
    path("snapshots/", snapshot_api.SnapshotListView.as_view()),
    path("snapshots/<uuid:snapshot_id>/", snapshot_api.SnapshotView.as_view()),
    path("snapshots/<uuid:snapshot_id>/revert/", snapshot_api.SnapshotRevertView.as_view()),
    path("vms/<uuid:vm_id>/snapshots/", snapshot_api.VMSnapshotListView.as_view()),
    path("vms/<uuid:vm_id>/console/", console_api.VMConsoleView.as_view()),
    path("vms/<uuid:vm_id>/console-password/", console_password_api.VMConsolePasswordView.as_view()),
    path("vms/<uuid:vm_id>/console-password/reveal/", console_password_api.VMConsolePasswordRevealView.as_view()),
    path("vms/<uuid:vm_id>/metrics/", metrics_api.VMMetricsView.as_view(), name="vm-metrics"),
    path("sizes/", api.SizeListView.as_view()),
    path("vms/", api.VMListView.as_view()),
    path("vms/bulk/", bulk_api.VMBulkView.as_view()),
    path("vms/<uuid:vm_id>/", api.VMView.as_view()),
    path("vms/<uuid:vm_id>/nics/", nic_api.NicListView.as_view()),
    path("nics/<uuid:nic_id>/", nic_api.NicView.as_view()),
    path("vms/<uuid:vm_id>/port-forwards/", nic_api.PortForwardListView.as_view()),
    path("port-forwards/<uuid:forward_id>/", nic_api.PortForwardView.as_view()),
    path("vms/<uuid:vm_id>/rename/", api.VMRenameView.as_view()),
    path("vms/<uuid:vm_id>/restore/", api.VMRestoreView.as_view()),
    path("vms/<uuid:vm_id>/image/", image_api.VMImageView.as_view()),
    path("vms/<uuid:vm_id>/start/", api.VMStartView.as_view()),
    path("vms/<uuid:vm_id>/shutdown/", api.VMShutdownView.as_view()),
    path("vms/<uuid:vm_id>/power-off/", api.VMPowerOffView.as_view()),
    path("vms/<uuid:vm_id>/reboot/", api.VMRebootView.as_view()),
    path("vms/<uuid:vm_id>/reset/", api.VMResetView.as_view()),
    path("vms/<uuid:vm_id>/pause/", api.VMPauseView.as_view()),
    path("vms/<uuid:vm_id>/schedules/", schedule_api.VMScheduleListView.as_view()),
    path("schedules/<uuid:schedule_id>/", schedule_api.ScheduleView.as_view()),
    path("vms/<uuid:vm_id>/rebuild/", rebuild_api.VMRebuildView.as_view()),
    path("vms/<uuid:vm_id>/resize/", resize_api.VMResizeView.as_view()),
    path("vms/<uuid:vm_id>/resume/", api.VMResumeView.as_view()),
    path("vms/<uuid:vm_id>/clone/", clone.VMCloneView.as_view()),
    path("vms/<uuid:vm_id>/io-limits/", volume_api.VMIOLimitsView.as_view()),
    path("volumes/", volume_api.VolumeListView.as_view()),
    path("volumes/<uuid:volume_id>/", volume_api.VolumeView.as_view()),
    path("volumes/<uuid:volume_id>/attach/", volume_api.VolumeAttachView.as_view()),
    path("volumes/<uuid:volume_id>/detach/", volume_api.VolumeDetachView.as_view()),
    path("volumes/<uuid:volume_id>/resize/", volume_api.VolumeResizeView.as_view()),
    path("vms/<uuid:vm_id>/rescue/", rescue_api.VMRescueView.as_view()),
    path("vms/<uuid:vm_id>/unrescue/", rescue_api.VMUnrescueView.as_view()),
    path("vms/<uuid:vm_id>/insert/", rescue_api.VMInsertView.as_view()),
    path("vms/<uuid:vm_id>/eject/", rescue_api.VMEjectView.as_view()),
]
