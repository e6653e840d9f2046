"""Spark: how its jobs call the lake's tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spymaster.settings.base import Frozen

#: What Spark takes without quotes; {layer} stands for bronze, silver or gold.
_Identifier = r"([A-Za-z0-9_-]|\{layer\})+"


class SparkSettings(Frozen):
    """Spark: how its jobs call the lake's tables.

    `catalog`: empty: by path, under the root. Else by name, CATALOG.SCHEMA.TABLE, each an external
    table at the same path. In both parts {layer} stands for bronze, silver or gold, so that
    catalog "{layer}" calls bronze.mbo `bronze.default.mbo`.
    """

    catalog: Annotated[str, Field(pattern=rf"^({_Identifier})?$")] = ""
    schema_name: Annotated[str, Field(pattern=rf"^{_Identifier}$")] = "default"
