"""What of Starlette's own tests doesn't hold over our server, or over any, with the reason.

As of Starlette 1.10.  A test is listed with its parameters, or without, for all of them.
"""

from known_cpython import Known

CODE = "a WebSocket that is refused before it is accepted is answered with status 403, and has no close code"
TRAILERS = "sends trailers to a server that offers no such extension"
PUSH = "asks for HTTP/2's push, and adds it to extensions that its server must have named"
TEMPLATE = "wants TestClient's extension http.response.debug, which hands Python objects to the client"
BOTH_LENGTHS = "sends Content-Length and Transfer-Encoding, which we refuse (RFC 9112 §6.3)"
CLIENT_REFUSES = "the client refuses to send it: h11 knows no header value with spaces around it"

# Tests that fail.  One that passes is an error.
KNOWN = [
    Known(
        "middleware/test_body_limit.py::test_received_bytes_are_counted_with_unreliable_content_length",
        "the client refuses to send more than its Content-Length",
    ),
    Known("middleware/test_gzip.py::test_gzip_trailers", TRAILERS),
    Known("middleware/test_gzip.py::test_gzip_excluded_content_type_trailers", TRAILERS),
    Known(
        "middleware/test_https_redirect.py::test_https_redirect_middleware",
        "a Host that is none is replaced by the server's address, which is testserver's for TestClient only",
    ),
    Known(
        "test_concurrency.py::test_accessing_context_from_threaded_sync_endpoint",
        "the application sees the client's context variables in TestClient; it has no such client",
    ),
    Known(
        "test_endpoints.py::test_http_endpoint_does_not_dispatch_non_verb_method",
        "a method that llhttp doesn't know is answered with 501 before the application hears of it",
    ),
    Known(
        "test_exceptions.py::test_force_500_response",
        "the application fails without a response; TestClient makes an empty one of that, we one with a text",
    ),
    *(
        Known(f"test_formparsers.py::{test}[{app}]", BOTH_LENGTHS)
        for test in ("test_max_part_size_exceeds_limit", "test_max_part_size_exceeds_custom_limit")
        for app in ("app-expectation0", "app1-expectation1")
    ),
    Known("test_requests.py::test_cookies_invalid[  =  b  ;  ;  =  ;   c  =  ;  -expected4]", CLIENT_REFUSES),
    Known("test_requests.py::test_request_send_push_promise", PUSH),
    Known("test_requests.py::test_request_send_push_promise_without_setting_send", PUSH),
    Known(
        "test_responses.py::test_response_phrase",
        "answers with status 123: those below 200 are no final responses (RFC 9110 §15.2), and an error here",
    ),
    Known(
        "test_routing.py::test_host_routing_rejects_invalid_hosts[api.example.org:evil]",
        "we answer it with 400 ourselves, not with the application's 404",
    ),
    Known("test_staticfiles.py::test_staticfiles_websocket", CODE),
    *(
        Known(
            rf"test_staticfiles.py::test_staticfiles_304_with_if_none_match_wildcard[ \t* \t-{method}]",
            CLIENT_REFUSES,
        )
        for method in ("GET", "HEAD")
    ),
    *(
        Known(f"test_templates.py::{test}", TEMPLATE)
        for test in (
            "test_templates",
            "test_calls_context_processors",
            "test_template_with_middleware",
            "test_templates_with_directories",
            "test_templates_with_environment",
        )
    ),
    Known("test_websockets.py::test_rejected_connection", CODE),
    Known("test_websockets.py::test_send_response_unsupported", CODE),
]

# Tests, or files, that aren't run.  Nor are those that use no client: they call the application themselves.
LEFT_OUT = [
    Known("test_testclient.py", "tests TestClient, which isn't there"),
    Known("middleware/test_opentelemetry.py", "needs OpenTelemetry's SDK"),
    Known("test_routing.py::test_url_for_with_root_path_ending_with_slash", "our option ends with none"),
    Known("test_requests.py::test_request_headers", "wants the headers that TestClient sends"),
    Known("test_websockets.py::test_websocket_headers", "wants the headers that TestClient sends"),
    Known(
        "test_websockets.py::test_receive_before_accept", "gives the application a message that no client can"
    ),
    Known(
        "test_websockets.py::test_receive_wrong_message_type",
        "gives the application a message that no client can",
    ),
    Known(
        "test_staticfiles.py::test_staticfiles_with_invalid_dir_permissions_returns_401",
        "takes away a permission, which root doesn't need: fails for root without our server, too",
    ),
]
