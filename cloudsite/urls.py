"""All paths: pages, the API, its documentation, the admin and the health endpoints."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.accounts import urls as accounts
from apps.compute import urls as compute
from apps.dashboard import urls as dashboard
from apps.events import urls as events
from apps.hosts import urls as hosts
from apps.metrics import urls as metrics
from apps.network import urls as network
from apps.operations import urls as operations
from apps.placement import urls as placement
from apps.storage import urls as storage
from cloudsite import views

api_urlpatterns = [
    *accounts.api_urlpatterns,
    *compute.api_urlpatterns,
    *dashboard.api_urlpatterns,
    *events.api_urlpatterns,
    *hosts.api_urlpatterns,
    *metrics.api_urlpatterns,
    *network.api_urlpatterns,
    *operations.api_urlpatterns,
    *placement.api_urlpatterns,
    *storage.api_urlpatterns,
]

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include(api_urlpatterns)),
    path("", include(accounts.urlpatterns)),
    path("", include(dashboard.urlpatterns)),
    path("", include(compute.urlpatterns)),
    path("", include(storage.urlpatterns)),
    path("", include(hosts.urlpatterns)),
    path("", include(network.urlpatterns)),
    path("", include(operations.urlpatterns)),
]

handler400 = "cloudsite.views.bad_request"
handler403 = "cloudsite.views.forbidden"
handler404 = "cloudsite.views.not_found"
handler500 = "cloudsite.views.server_error"
