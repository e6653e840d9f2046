"""/swagger.json: what /score takes and gives, for clients that make themselves from it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from spymaster.contracts.silver import OUTCOMES


def swagger(model_id: str, version: str, columns: Sequence[str]) -> bytes:
    """Swagger 2.0, as Microsoft's server gives it by default."""
    number = {"type": "number", "format": "double"}
    answers = [f"p_{outcome.lower()}" for outcome in OUTCOMES]
    ask = {
        "type": "object",
        "required": ["input_data"],
        "properties": {
            "input_data": {
                "type": "object",
                "required": ["columns", "data"],
                "properties": {
                    "columns": {"type": "array", "items": {"type": "string"}},
                    "index": {"type": "array", "items": {"type": "integer"}},
                    "data": {"type": "array", "items": {"type": "array", "items": number}},
                },
                "example": {
                    "columns": list(columns),
                    "index": [0],
                    "data": [[None] * len(columns)],
                },
            },
            "params": {"type": "object", "properties": {"feature_contract": {"type": "string"}}},
        },
    }
    give = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                **dict.fromkeys(answers, number),
                "prediction": {"type": "string", "enum": list(OUTCOMES)},
            },
        },
    }
    return orjson.dumps(
        {
            "swagger": "2.0",
            "info": {"title": model_id, "version": version},
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {
                "Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}
            },
            "paths": {
                "/": {"get": {"responses": {"200": {"description": "alive"}}}},
                "/score": {
                    "post": {
                        "security": [{"Bearer": []}],
                        "parameters": [
                            {"name": "body", "in": "body", "required": True, "schema": ask}
                        ],
                        "responses": {
                            "200": {"description": "one record for each row", "schema": give},
                            "default": {
                                "description": "refused",
                                "schema": {
                                    "type": "object",
                                    "properties": {"message": {"type": "string"}},
                                },
                            },
                        },
                    }
                },
            },
        }
    )
