"""Why a console ends: a close code for programs and a sentence for the person before it."""

from enum import Enum


class Ending(Enum):
    """Codes from 4400 on; the last two digits recall the HTTP status that would say the same."""

    SIGNED_OUT = (4401, "You are signed out. Sign in and open the console again.")
    NO_RIGHT = (4403, "You may not open this console any more.")
    GONE = (4404, "The machine has been deleted.")
    IDLE = (4408, "Nothing was typed for an hour.")
    TAKEN_OVER = (4409, "The console was taken over by another session.")
    OFF = (4410, "The machine was switched off.")
    MOVED = (4412, "The machine is on another host now. Connect again.")
    TOO_MUCH = (4413, "More was typed than the machine takes.")
    WRONG_FRAME = (4415, "Only binary frames of at most 64 KiB are taken.")
    TOO_MANY = (4429, "Too many consoles are open. Close one and connect again.")
    ENDED = (4500, "The host closed the console. Connect again.")
    NO_WAY = (4501, "No way leads to this machine's screen. Use the serial console.")
    UNCHECKED = (4503, "Cloudsite cannot check your rights at the moment. Connect again in a while.")
    UNREACHABLE = (4504, "The host does not answer.")
    TOO_SLOW = (4508, "The connection is too slow for what the machine shows.")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]


class Ended(Exception):
    """Raised wherever a console finds that it is over."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending
