// What a health check asks a Thrift service.  Names and numbers are Baseplate's own, on the wire too.
//
// A service takes it in with
//
//     include "health.thrift"
//     service MyService extends health.BaseplateServiceV2 { ... }
//
// compiled by `thrift --gen py -I .../baseplate_serve/health my_service.thrift`.
//
// The Python files beside this one are written by Apache Thrift 0.17 and are not edited.  From this folder:
//
//     thrift --gen py -out /tmp health.thrift && cp /tmp/baseplate_serve/health/*.py .
//
// (Never `-out` into the source tree: the compiler drops an __init__.py into every folder above.)
namespace py baseplate_serve.health

/**
 * What is being asked.  The three are those of Kubernetes; a service that makes no difference between
 * them answers each as READINESS.
 *
 * Over HTTP the probe travels in the query of `GET /health?type=`, as its number or as its name in any
 * case: so names are part of the interface as much as numbers are.
 */
enum IsHealthyProbe {
    /** May requests be sent to this process?  No longer, once it is shutting down. */
    READINESS = 1,
    /** Does the process work at all?  If not, it is restarted. */
    LIVENESS = 2,
    /** Has the process finished starting?  The other two wait for that. */
    STARTUP = 3,
}

struct IsHealthyRequest {
    /** Unset, by callers older than probes: READINESS. */
    1: optional IsHealthyProbe probe;
}

/** What every service answers, whatever else it does: extend it. */
service BaseplateServiceV2 {
    /** True if healthy; False, or any exception, if not. */
    bool is_healthy(
        1: IsHealthyRequest request,
    ),
}
