"""Why an image file is not taken."""


class ImageRefused(Exception):
    """``code`` is stable and reaches the API; ``detail`` is one sentence for a person."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
