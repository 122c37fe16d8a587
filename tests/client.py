"""An installation as its users reach it: HTTP alone, by the API and by pages."""

import logging
from typing import Any

import httpx2 as httpx

from tests.bearer import Token
from tests.waiting import wait_for

PASSWORD = "a long password for the end-to-end tests"


class Client:
    """The admin of one installation, with a token and with a browser's session."""

    def __init__(self, url: str, **options: Any) -> None:
        """``options`` are those of ``httpx.Client``, e.g. the headers and the trust that a proxy needs."""
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # every poll would be a line
        self.url = url
        self.token = Token(self.sign_in)
        self.http = httpx.Client(base_url=f"{url}/api/v1/", **{"timeout": 30, **options}, auth=self.token)
        self.browser = httpx.Client(base_url=url, **{"timeout": 30, **options})

    def logs(self) -> str:
        """What a failing test shows besides."""
        return ""

    def page(self, path: str) -> httpx.Response:
        """A page as the signed-in admin sees it."""
        if "sessionid" not in self.browser.cookies:
            self.browser.get("/sign-in/")
            form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": self.browser.cookies["csrftoken"]}
            answer = self.browser.post("/sign-in/", data=form, headers={"Referer": f"{self.url}/sign-in/"})
            assert answer.status_code == 302, answer.text
        return self.browser.get(path)

    # --- the API
    def sign_in(self) -> None:
        body = {"username": "admin", "password": PASSWORD}
        answer = self.http.post("token/", json=body, auth=None)
        assert answer.status_code == 200, answer.text
        self.token.value = answer.json()["access"]

    def call(self, method: str, path: str, *, expect: int, **arguments: Any) -> Any:
        """A call that must answer with this status."""
        answer = self.http.request(method, path, **arguments)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}\n{self.logs()}"
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        return self.call("GET", path, expect=200)

    def results(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path)["results"]
        return found

    def finished(self, operation: dict[str, Any], *, seconds: float = 120) -> dict[str, Any]:
        """The operation once it has ended."""

        def ended() -> dict[str, Any] | None:
            current: dict[str, Any] = self.get(f"operations/{operation['id']}/")
            return current if current["status"] in ("succeeded", "failed", "cancelled") else None

        try:
            return wait_for(ended, seconds=seconds, what=f"the end of {operation['kind']}", every=0.2)
        except AssertionError as error:
            current = self.get("operations/" + operation["id"] + "/")
            raise AssertionError(f"{error}\n{current}\n{self.logs()}") from error

    def succeeded(self, operation: dict[str, Any], *, seconds: float = 120) -> dict[str, Any]:
        """The operation, which must succeed."""
        ended = self.finished(operation, seconds=seconds)
        assert ended["status"] == "succeeded", f"{ended}\n{self.logs()}"
        return ended

    # --- virtual machines
    def ask(self, name: str, *, image: str = "tiny", **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ask for a small VM; the VM and the operation that creates it."""
        numbers = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1} if "size" not in more else {}
        answer = self.call("POST", "vms/", expect=202, json={"name": name, "image": image, **numbers, **more})
        return answer["vm"], answer["operation"]

    def create(self, name: str, *, image: str = "tiny", seconds: float = 120, **more: Any) -> dict[str, Any]:
        """A small VM once it runs."""
        vm, operation = self.ask(name, image=image, **more)
        self.succeeded(operation, seconds=seconds)
        return self.vm(vm["id"])

    def vm(self, vm_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"vms/{vm_id}/")
        return found

    def verb(self, vm: dict[str, Any], verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start, stop and so on; the operation that was accepted."""
        answer = self.call("POST", f"vms/{vm['id']}/{verb}/", expect=202, json=body or {})
        operation: dict[str, Any] = answer["operation"]
        return operation

    def delete(self, vm: dict[str, Any]) -> None:
        """Delete a VM and wait until it is gone."""
        answer = self.call("DELETE", f"vms/{vm['id']}/", expect=202)
        self.succeeded(answer["operation"])
        self.call("GET", f"vms/{vm['id']}/", expect=404)

    def delete_all(self) -> None:
        """Delete what a test left, with protection taken off."""
        waiting = []
        for vm in self.results("vms/?limit=200"):
            if vm["protected"]:
                self.call("PATCH", f"vms/{vm['id']}/", expect=200, json={"protected": False})
            answer = self.http.delete(f"vms/{vm['id']}/")
            if answer.status_code == 202:
                waiting.append(answer.json()["operation"])
        for operation in waiting:
            self.succeeded(operation)
        wait_for(lambda: not self.results("vms/?limit=1"), seconds=60, what="the end of all VMs")
        self.delete_volumes()

    def delete_volumes(self) -> None:
        """Delete every volume that no VM has."""
        answers = [self.http.delete(f"volumes/{volume['id']}/") for volume in self.results("volumes/?limit=200")]
        for answer in answers:
            if answer.status_code == 202:
                self.succeeded(answer.json()["operation"])

    def wait_status(self, vm: dict[str, Any], status: str, *, seconds: float = 30) -> dict[str, Any]:
        """The VM once it has this status."""

        def seen() -> dict[str, Any] | None:
            current = self.vm(vm["id"])
            return current if current["status"] == status else None

        return wait_for(seen, seconds=seconds, what=f"{vm['name']} to be {status}", every=0.1)
