"""Addresses as they may be shown: a password stays where it was set."""

from __future__ import annotations

import re

_USER = re.compile(r"(?P<user>[A-Za-z][\w+.-]*://[^\s/:@\"']*):[^\s/\"']*@")
_QUERY = re.compile(r"(?P<name>[?&](?:password|passwd|pwd|token|sig|sslpassword)=)[^\s&#\"']+")


def masked(text: str) -> str:
    """A text, such as an error's, without the passwords of the addresses in it.

    >>> masked("https://mia:s3cret@ml.example:5000/x?a=1 is not there; sqlite:////tmp/a.db is")
    'https://mia:***@ml.example:5000/x?a=1 is not there; sqlite:////tmp/a.db is'
    >>> masked("postgresql://db/mlflow?user=mia&password=s3cret&x=1")
    'postgresql://db/mlflow?user=mia&password=***&x=1'
    """
    return _QUERY.sub(r"\g<name>***", _USER.sub(r"\g<user>:***@", text))
