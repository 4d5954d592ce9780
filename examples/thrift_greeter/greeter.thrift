// A greeter.  Regenerate greeter_idl, in this folder:
//   thrift -I ../../src/baseplate_serve/health --gen py -out . greeter.thrift
namespace py greeter_idl

include "health.thrift"

exception NobodyToGreet {
    1: string hint
}

service Greeter extends health.BaseplateServiceV2 {
    /** A greeting for a name. */
    string greet(1: string name) throws (1: NobodyToGreet nobody),

    /** The same, after some seconds: for trying what a stop does. */
    string greet_slowly(1: string name, 2: double seconds),
}
