"""What of gevent's own tests of pywsgi doesn't hold for our handler, or for one that we surround, with the
reason.
"""

from known_cpython import Known

BOTH_LENGTHS = "sends Content-Length and Transfer-Encoding: two servers in a row may choose differently"
NO_RESPONSE = (
    "its application gives no response at all: pywsgi sends nothing, we log it and send 500, and the suite "
    "takes what is logged for a failure; test_wsgi_handler has what is refused"
)

# Tests that fail.  One that passes is an error.
KNOWN = [
    Known("ChunkedInputTests.test_chunked_readline", BOTH_LENGTHS),
    Known("ChunkedInputTests.test_short_read_with_content_length", BOTH_LENGTHS),
    Known("ChunkedInputTests.test_short_read_with_zero_content_length", BOTH_LENGTHS),
    Known("ChunkedInputTests.test_dirt", "sends NUL in a chunk extension"),
    Known(
        "ChunkedInputTests.test_close_before_finished",
        "a client that leaves within its body is no error of the server's, and not logged as one",
    ),
    Known("TestMultiLineHeader.test_multiline_116", "folds a header over two lines; RFC 9112 §5.2 lets us"),
    Known("TestContentLength304.test_err", "sends an exception's text as bytes, which in pywsgi it is"),
    Known("TestHTTPResponseSplitting.test_newline_in_header_name", NO_RESPONSE),
    Known("TestHTTPResponseSplitting.test_newline_in_header_value", NO_RESPONSE),
    Known("TestHTTPResponseSplitting.test_newline_in_status", NO_RESPONSE),
]

KNOWN_OF_OWN: list[Known] = []

# Classes that aren't run with our handler.
LEFT_OUT = [
    Known("TestHandlerSubclass", "replaces pywsgi's read_requestline: a handler of the application's own"),
]
