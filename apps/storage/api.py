"""Images in the API."""

import uuid
from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, inline_serializer
from rest_framework import generics, serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, actor_of
from apps.envelope.filters import BooleanFilter, DocumentedFilters
from apps.envelope.mutation import Answer, Plan, is_dry_run, mutation
from apps.envelope.parameters import DRY_RUN, MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.errors import Refused
from apps.names import NameField
from apps.operations.api import OperationSerializer, accepted
from apps.storage import images as services
from apps.storage.catalogue import offers
from apps.storage.images import ImageChange
from apps.storage.models import Devices, Firmware, Image, ImageStatus
from apps.storage.selectors import image_for, images_for, received_bytes
from apps.storage.uploads import Upload, upload_end, upload_open, upload_plan

PIECE = 2**20


class ImageSerializer(serializers.ModelSerializer[Image]):
    """A disk image that VMs start from."""

    owner = serializers.CharField(source="owner.username", default=None, allow_null=True, read_only=True)
    min_disk_gib = serializers.IntegerField(read_only=True)
    received_bytes = serializers.SerializerMethodField()

    class Meta:
        model = Image
        fields = [
            "id",
            "name",
            "title",
            "owner",
            "public",
            "status",
            "reason",
            "source",
            "architecture",
            "firmware",
            "devices",
            "format",
            "sha256",
            "size_bytes",
            "virtual_size_bytes",
            "expected_bytes",
            "received_bytes",
            "cloud_init",
            "default_user",
            "min_disk_gib",
            "min_memory_mib",
            "cpu_features",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.INT64)
    def get_received_bytes(self, image: Image) -> int:
        """How far the file has come: where an interrupted upload goes on."""
        return received_bytes(image) if image.status == ImageStatus.UPLOADING else image.received_bytes


class AboutSerializer(StrictSerializer):
    """What people say about an image."""

    title = serializers.CharField(max_length=100, required=False, allow_blank=True)
    architecture = serializers.CharField(max_length=16, required=False)
    firmware = serializers.ChoiceField(choices=Firmware.choices, required=False)
    devices = serializers.ChoiceField(choices=Devices.choices, required=False)
    default_user = serializers.CharField(max_length=32, required=False, allow_blank=True)
    cloud_init = serializers.BooleanField(required=False)
    min_disk_gib = serializers.IntegerField(required=False)
    min_memory_mib = serializers.IntegerField(required=False)
    cpu_features = serializers.ListField(
        child=serializers.CharField(max_length=32),
        max_length=20,
        required=False,
        help_text="What its VMs need of their CPU: features such as avx2, or a level such as x86-64-v3.",
    )
    public = serializers.BooleanField(required=False)


class ImageCreateSerializer(AboutSerializer):
    """With ``url`` or ``catalogue`` it is fetched, else it waits for its file."""

    name = NameField(required=False)
    format = serializers.CharField(max_length=8, required=False)
    size_bytes = serializers.IntegerField(required=False)
    checksum = serializers.CharField(max_length=140, required=False)
    checksum_url = serializers.CharField(max_length=1000, required=False)
    url = serializers.CharField(max_length=1000, required=False)
    packed = serializers.CharField(max_length=4, required=False)
    catalogue = serializers.CharField(max_length=63, required=False)


class ImageUpdateSerializer(AboutSerializer):
    name = NameField(required=False)


class PruneSerializer(StrictSerializer):
    older_than_days = serializers.IntegerField(required=False)


class OfferSerializer(serializers.Serializer[Any]):
    """An official image that can be imported by its name."""

    name = serializers.CharField()
    title = serializers.CharField()
    url = serializers.CharField()
    checksum_url = serializers.CharField(source="sums", help_text="Empty: give the checksum that the vendor shows.")
    architecture = serializers.CharField()
    default_user = serializers.CharField(source="user")
    firmware = serializers.CharField()
    min_disk_gib = serializers.IntegerField(source="disk_gib")
    min_memory_mib = serializers.IntegerField(source="memory_mib")


class ImageFilter(filters.FilterSet):
    name = filters.CharFilter()
    status = filters.MultipleChoiceFilter(choices=ImageStatus.choices)
    public = BooleanFilter()
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Image
        fields = ["name", "status", "public", "search"]


SHAPES = {
    201: inline_serializer("ImageBegun", {"image": ImageSerializer()}),
    202: inline_serializer("ImageAccepted", {"image": ImageSerializer(), "operation": OperationSerializer()}),
}


def _answer(change: ImageChange, *, status: int = 201) -> Answer:
    shown = dict(ImageSerializer(change.image).data)
    if change.operation is None:
        return Answer(status=status, plan=change.plan, body={"image": shown})
    return accepted(name="image", resource=shown, operation=change.operation, plan=change.plan)


class ImageListView(generics.ListAPIView[Image]):
    """Images."""

    serializer_class = ImageSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = ImageFilter
    ordering_fields = ("created_at", "name")
    queryset = Image.objects.none()

    def get_queryset(self) -> QuerySet[Image]:
        return images_for(actor=actor_of(self.request))

    @extend_schema(request=ImageCreateSerializer, responses=SHAPES, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Begin an image: have it fetched, or upload its file afterwards."""
        wish = validated(ImageCreateSerializer, request)
        return _answer(services.image_create(actor=actor_of(request), **wish))


class ImageView(APIView):
    """One image."""

    @extend_schema(responses=ImageSerializer)
    def get(self, request: Request, image_id: uuid.UUID) -> Response:
        data: dict[str, Any] = dict(ImageSerializer(image_for(actor=actor_of(request), image_id=image_id)).data)
        return Response(data)

    @extend_schema(request=ImageUpdateSerializer, responses=ImageSerializer, parameters=MUTATION)
    @mutation
    def patch(self, request: Request, image_id: uuid.UUID) -> Answer:
        """Change its name, who sees it, and what is said about it."""
        wish = validated(ImageUpdateSerializer, request)
        image = services.image_update(actor=actor_of(request), image_id=image_id, **wish)
        changes = tuple(f"set {name}" for name in sorted(wish))
        return Answer(status=200, plan=Plan(changes=changes), body=dict(ImageSerializer(image).data))

    @extend_schema(request=None, responses={202: SHAPES[202]}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, image_id: uuid.UUID) -> Answer:
        """Delete the image with its file and its copies on hosts."""
        validated(EmptySerializer, request)
        return _answer(services.image_delete(actor=actor_of(request), image_id=image_id))


class FileParser(BaseParser):
    """The file of an image. Its bytes are no data of the request: they go from the stream to the disk."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


UPLOAD_OFFSET = OpenApiParameter(
    "Upload-Offset", OpenApiTypes.INT64, OpenApiParameter.HEADER, description="Where this piece begins; 0 by default."
)


class ImageFileView(APIView):
    """The file of an image that waits for it."""

    parser_classes = [FileParser]

    @extend_schema(
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: inline_serializer("ImagePiece", {"image": ImageSerializer()}), 202: SHAPES[202]},
        parameters=[DRY_RUN, UPLOAD_OFFSET],
    )
    def put(self, request: Request, image_id: uuid.UUID) -> Response:
        """Send the file, or the next piece of it. Whole, it is checked and converted."""
        actor, upload = actor_of(request), self._upload(request)
        if upload is None or upload.file is None:
            offset, length = _number(request, "Upload-Offset"), _number(request, "Content-Length")
            if is_dry_run(request):
                plan = upload_plan(actor=actor, image_id=image_id, offset=offset, length=length)
                return Response({"plan": asdict(plan)})
            file = upload_open(actor=actor, image_id=image_id, offset=offset, length=length)
            if upload is not None:
                upload.file = file
                return Response(status=204)
            with file:
                while content := request._request.read(PIECE):
                    file.write(content)
        return _end(request, image_id)

    def _upload(self, request: Request) -> Upload | None:
        """What the web process took the body into; None where the body comes with the request (tests, WSGI)."""
        scope: dict[str, Any] = getattr(request._request, "scope", {})
        found: Upload | None = scope.get("cloudsite.upload")
        return found


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Refused("image.offset", "Upload-Offset and Content-Length are whole numbers.")
    return int(value)


def _end(request: Request, image_id: uuid.UUID) -> Response:
    answer = _answer(upload_end(actor=actor_of(request), image_id=image_id), status=200)
    response = Response(answer.body, status=answer.status)
    if answer.location:
        response["Location"] = answer.location
    return response


class CatalogueView(APIView):
    """Official cloud images of the distributions, to import by name."""

    pagination_class = None

    @extend_schema(responses=OfferSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(OfferSerializer(offers(), many=True).data)


class ImagePruneView(APIView):
    """Remove copies from hosts that no virtual machine there uses, and replaced images."""

    permission_classes = [AdminOnly]

    @extend_schema(
        request=PruneSerializer,
        responses={202: inline_serializer("ImagesPruned", {"operations": OperationSerializer(many=True)})},
        parameters=MUTATION,
    )
    @mutation
    def post(self, request: Request) -> Answer:
        pruning = services.images_prune(actor=actor_of(request), **validated(PruneSerializer, request))
        shown = [dict(OperationSerializer(operation).data) for operation in pruning.operations]
        where = "/api/v1/operations/?kind=image.prune"
        return Answer(status=202, plan=pruning.plan, body={"operations": shown}, location=where)
