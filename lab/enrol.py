"""Add the lab's hosts to a running control plane, through its public API alone: the first by qemu+ssh, the
others by qemu+tls; and take them out again.
"""

import json
import time
import urllib.error
import urllib.request
from typing import Any, Final

from lab.errors import LabError
from lab.host import Host
from lab.laboratory import Lab

OPERATION_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.5
EXPIRED: Final = 401


class Api:
    """The few calls that enrolment needs. Raises LabError with the server's own words."""

    def __init__(self, url: str, *, username: str, password: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/"
        self._token = ""
        self._credentials = {"username": username, "password": password}
        self.sign_in()

    def sign_in(self) -> None:
        """An access token lives for five minutes; a lab of many hosts may take longer."""
        self._token = self.call("POST", "token/", self._credentials)["access"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # the URL is the user's own
                content = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == EXPIRED and self._token:
                self._token = ""
                self.sign_in()
                return self.call(method, path, body)
            raise LabError(f"{method} {path}: {_detail(error)}") from error
        except OSError as error:
            raise LabError(f"the control plane at {self._url} does not answer: {error}") from error
        return json.loads(content) if content else None

    def finish(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The operation once it has ended; one that failed is a LabError with its reason."""
        end = time.monotonic() + OPERATION_SECONDS
        while operation["status"] in ("queued", "running"):
            if time.monotonic() > end:
                raise LabError(f"{operation['kind']} has not ended: {operation['step']}")
            time.sleep(POLL_SECONDS)
            operation = self.call("GET", f"operations/{operation['id']}/")
        if operation["status"] != "succeeded":
            raise LabError(f"{operation['kind']} {operation['status']}: {operation['error']}")
        return operation


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"


def enrol(api: Api, lab: Lab) -> None:
    """Have every host of the lab in the control plane."""
    known = {host["name"] for host in api.call("GET", "hosts/?limit=200")["results"]}
    for number, host in enumerate(lab.hosts):
        if host.name not in known:
            add = _enrol_ssh if number == 0 else _enrol_tls
            add(api, host)


def _enrol_ssh(api: Api, host: Host) -> None:
    uri = f"qemu+ssh://root@{host.address}/system"
    answer = api.call("POST", "hosts/", {"name": host.name, "uri": uri})
    host.add_authorized_key(answer["host"]["setup"]["public_key"])
    api.finish(answer["operation"])
    trust = f"hosts/{answer['host']['id']}/trust/"
    trusted = api.call("POST", trust, {"fingerprint": host.host_key_fingerprint()})
    api.finish(trusted["operation"])


def _enrol_tls(api: Api, host: Host) -> None:
    uri = f"qemu+tls://{host.address}/system"
    answer = api.call("POST", "hosts/", {"name": host.name, "uri": uri})
    setup = answer["host"]["setup"]
    host.install_tls(
        ca_cert=setup["ca_certificate"],
        server_cert=setup["server_certificate"],
        server_key=setup["server_key"],
        allowed_dn=setup["allowed_dn"],
    )
    try:
        api.finish(answer["operation"])
    except LabError:  # it may have knocked while the certificates were being installed
        api.finish(api.call("POST", f"hosts/{answer['host']['id']}/probe/")["operation"])


def withdraw(api: Api, lab: Lab) -> None:
    """Delete the VMs on the lab's hosts, then the hosts; the lab is about to vanish with all of them."""
    ours = {host.name for host in lab.hosts}
    for vm in api.call("GET", "vms/?limit=200")["results"]:
        if vm["host"] in ours:
            if vm["protected"]:
                api.call("PATCH", f"vms/{vm['id']}/", {"protected": False})
            api.finish(api.call("DELETE", f"vms/{vm['id']}/")["operation"])
    for record in api.call("GET", "hosts/?limit=200")["results"]:
        if record["name"] in ours:
            api.call("DELETE", f"hosts/{record['id']}/")
