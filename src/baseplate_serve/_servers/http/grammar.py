"""What the rules of HTTP are made of, as regular expressions."""

_CHARACTERS = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN = f"[{_CHARACTERS}]+"  # RFC 9110 §5.6.2: a method, a name
TOKEN_BYTES = TOKEN.encode()
NO_TOKEN = rf"[^{_CHARACTERS}]|\A\Z"  # to be searched for
