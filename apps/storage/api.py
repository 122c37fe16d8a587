"""Images in the API."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.envelope.filters import DocumentedFilters
from apps.storage.models import Image
from apps.storage.selectors import image_for, images_for


class ImageSerializer(serializers.ModelSerializer[Image]):
    """A disk image that VMs start from."""

    min_disk_gib = serializers.IntegerField(read_only=True)

    class Meta:
        model = Image
        fields = [
            "id",
            "name",
            "title",
            "source",
            "architecture",
            "firmware",
            "devices",
            "format",
            "sha256",
            "size_bytes",
            "virtual_size_bytes",
            "cloud_init",
            "default_user",
            "min_disk_gib",
            "min_memory_mib",
            "created_at",
        ]
        read_only_fields = fields


class ImageFilter(filters.FilterSet):
    name = filters.CharFilter()
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Image
        fields = ["name", "search"]


class ImageListView(generics.ListAPIView[Image]):
    """Images."""

    serializer_class = ImageSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = ImageFilter
    ordering_fields = ("created_at", "name")
    queryset = Image.objects.none()

    def get_queryset(self) -> QuerySet[Image]:
        return images_for(actor=actor_of(self.request))


class ImageView(APIView):
    """One image."""

    @extend_schema(responses=ImageSerializer)
    def get(self, request: Request, image_id: uuid.UUID) -> Response:
        data: dict[str, Any] = dict(ImageSerializer(image_for(actor=actor_of(request), image_id=image_id)).data)
        return Response(data)
