"""The base of all events, and their one codec: JSON."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.contracts.errors import MalformedEvent


class Event(BaseModel):
    """A fact in the past tense: frozen, closed, valid or not there."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    def encode(self) -> bytes:
        """The event as UTF-8 JSON; fields that are absent are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse and validate.

        Raises:
            MalformedEvent: not JSON, an unknown or missing field, a value out of range. The message names fields,
                never their contents.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            places = ", ".join(
                f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['type']}" for e in error.errors(include_input=False)
            )
            raise MalformedEvent(f"not a {cls.__name__}: {places}") from None
