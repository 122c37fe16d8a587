"""The agent: a sampler that keeps time, a pusher and an API beside it that cannot hold it up."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

from . import VERSION, notify
from .api import API
from .buffer import Buffer
from .configuration import Configuration
from .guests import Guests
from .host import Host, boot_id
from .identity import Credentials
from .ingest import Ingest
from .push import Progress, Pusher
from .schedule import ScheduleFile, Ticker, UnusableSchedule
from .state import State, machine_id

log = logging.getLogger("cloudsite_agent")


class Agent:
    """Nothing is opened before ``run``, except the files to be sampled and the buffer."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._credentials = Credentials(
            ca=configuration.ca, certificate=configuration.certificate, key=configuration.key
        )
        state_dir = configuration.state_dir
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._wake = threading.Event()
        self._stopped = False
        self._last_at = 0.0
        self._unusable = ""
        self.state = State(
            host=Host(
                proc=configuration.proc,
                sys=configuration.sys,
                idle_watts=configuration.idle_watts,
                max_watts=configuration.max_watts,
            ),
            guests=Guests(configuration.proc),
            buffer=Buffer(
                state_dir / "buffer",
                most_bytes=configuration.buffer_bytes,
                most_seconds=configuration.buffer_hours * 3600,
            ),
            progress=Progress(),
            schedule=ScheduleFile(state_dir / "schedule.json"),
            reschedule=self.reschedule,
            boot_id=boot_id(configuration.proc),
            machine_id=machine_id(configuration.machine_id_file),
        )
        self._pusher: Pusher | None = None

    def sample(self) -> dict[str, Any]:
        """Look once at everything that is on the schedule."""
        schedule, now = self.state.schedule.current, time.monotonic()
        host = self.state.host.values(now=now, cores=schedule.cores)
        sample = {"at": self._moment(), "host": host}
        if schedule.guests:
            sample["guests"] = self.state.guests.values(traffic=self.state.host.interfaces.traffic, now=now)
        else:
            self.state.guests.close()
        self.state.sample = sample
        self.state.samples += 1
        self.state.sampling_seconds = time.monotonic() - now
        return sample

    def _moment(self) -> float:
        """The wall clock's; no two samples have the same, since it is their name."""
        at = round(time.time(), 3)
        if at == self._last_at:
            at = round(at + 0.001, 3)
        self._last_at = at
        return at

    def head(self) -> bytes:
        """The beginning of a body for the backend."""
        document = {
            "version": 1,
            "agent": VERSION,
            "boot_id": self.state.boot_id,
            "machine_id": self.state.machine_id,
            "sent_at": round(time.time(), 3),
            "schedule": self.state.schedule.current.version,
        }
        return json.dumps(document)[:-1].encode() + b", "

    def reschedule(self, document: object) -> None:
        """:raises UnusableSchedule: and goes on as before."""
        try:
            changed = self.state.schedule.adopt(document)
        except OSError as error:
            log.error("the schedule cannot be stored", extra={"fields": {"reason": str(error)}})
            changed = True
        if changed:
            log.info("another schedule", extra={"fields": {"schedule": str(self.state.schedule.current)}})
            self._wake.set()

    def _reschedule_from_answer(self, document: object) -> None:
        """The backend's answers always have one; it counts when its version is not ours."""
        version = document.get("version") if isinstance(document, dict) else None
        if version == self.state.schedule.current.version:
            return
        try:
            self.reschedule(document)
        except UnusableSchedule as error:
            if str(error) != self._unusable:
                log.warning("the backend sends an unusable schedule", extra={"fields": {"reason": str(error)}})
            self._unusable = str(error)

    def stop(self) -> None:
        """From another thread or a signal."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Until ``stop``. :raises OSError: when the API cannot be opened at the start."""
        api = self._start_api()
        pushing = self._start_pusher()
        fields = {"version": VERSION, "ingest": self._configuration.ingest, "listen": self._configuration.listen}
        log.info("started", extra={"fields": fields})
        notify.say("READY=1")
        try:
            self._keep_sampling()
        finally:
            notify.say("STOPPING=1")
            if api is not None:
                api.shutdown()
                api.server_close()
            if self._pusher is not None and pushing is not None:
                self._pusher.stop()
                pushing.join(timeout=2)
            self.state.buffer.close()
            log.info("stopped")

    def _keep_sampling(self) -> None:
        ticker = Ticker(self.state.schedule.current.interval)
        notify.expect(ticker.interval)
        while not self._stopped:
            if ticker.interval != self.state.schedule.current.interval:
                ticker.start(self.state.schedule.current.interval)
                notify.expect(ticker.interval)
            if self._wake.wait(ticker.seconds_left()):
                self._wake.clear()
                continue
            self.state.missed += ticker.advance()
            try:
                self.state.buffer.append(json.dumps(self.sample(), separators=(",", ":")).encode())
            except Exception:
                log.exception("a sample failed in an unforeseen way")
            if self._pusher is not None:
                self._pusher.wake()
            notify.say("WATCHDOG=1")

    def _start_api(self) -> API | None:
        configuration = self._configuration
        if configuration.listen is None:
            return None
        credentials = self._credentials
        if configuration.listen_certificate is not None and configuration.listen_key is not None:
            credentials = Credentials(
                ca=configuration.ca, certificate=configuration.listen_certificate, key=configuration.listen_key
            )
        api = API(configuration.listen_address, credentials, self.state, origin=configuration.backend_origin)
        api.start()
        return api

    def _start_pusher(self) -> threading.Thread | None:
        if self._configuration.ingest is None:
            return None
        host, port = self._configuration.ingest_address
        self._pusher = Pusher(
            buffer=self.state.buffer,
            sender=Ingest(host, port, self._credentials),
            head=self.head,
            adopt=self._reschedule_from_answer,
        )
        self.state.progress = self._pusher.progress
        thread = threading.Thread(target=self._pusher.run, name="push", daemon=True)
        thread.start()
        return thread
