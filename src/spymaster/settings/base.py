"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from spymaster.market.clock import clock_seconds, clock_text
from spymaster.market.windows import window_text

Clock = Annotated[str, AfterValidator(lambda text: clock_text(clock_seconds(text)))]
WindowText = Annotated[str, AfterValidator(window_text)]
AtLeastOne = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.01, lt=1, allow_inf_nan=False)]
#: A folder of the lake and a part of an environment variable.
Root = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9.]*$")]
Name = Annotated[str, Field(min_length=1)]
#: A list, or from the environment text with commas.
Symbols = Annotated[
    tuple[Name, ...], BeforeValidator(lambda v: v.split(",") if isinstance(v, str) else v)
]


class Frozen(BaseModel):
    """A section: nothing in it changes, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class _Vaulted(Protocol):
    @property
    def vault(self) -> str: ...
    @property
    def vault_secret(self) -> str: ...


_V = TypeVar("_V", bound=_Vaulted)


def secret_in_vault_has_a_name(section: _V) -> _V:
    """A validator of sections with a secret that Key Vault may hold."""
    if bool(section.vault) != bool(section.vault_secret):
        raise ValueError("vault and vault_secret go together: the vault's URL, and a name in it")
    return section
