"""The NoCloud seed: a small ISO 9660 image labelled `cidata` from which cloud-init reads what a guest is
to be.

Source: cloud-init, reference/datasources/nocloud. Content is passed byte for byte.
"""

import io
from typing import Final

import pycdlib

LABEL: Final = "CIDATA"


def build_seed(
    *, meta_data: bytes, user_data: bytes = b"", vendor_data: bytes = b"", network_config: bytes = b""
) -> bytes:
    """The image. cloud-init wants meta-data and user-data to be there, even if empty; the others only when
    they say something.
    """
    files = {"meta-data": meta_data, "user-data": user_data}
    if vendor_data:
        files["vendor-data"] = vendor_data
    if network_config:
        files["network-config"] = network_config
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    try:
        for number, (name, content) in enumerate(files.items()):
            iso.add_fp(
                io.BytesIO(content),
                len(content),
                iso_path=f"/F{number}.;1",
                rr_name=name,
                joliet_path=f"/{name}",
            )
        image = io.BytesIO()
        iso.write_fp(image)
    finally:
        iso.close()
    return image.getvalue()
