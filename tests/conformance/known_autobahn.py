"""What of Autobahn's fuzzing client is run, and what of it doesn't hold for our server, with the reason."""

from known_cpython import Known

# 12 and 13 are of permessage-deflate, which isn't offered.
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]

# Cases that don't go as the suite wants it.  One that does is an error.
KNOWN: list[Known] = []
