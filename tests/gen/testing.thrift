// The service that the tests serve.  Regenerate: thrift --gen py -out tests/gen tests/gen/testing.thrift
namespace py testing_idl

exception Refused {
    1: string why
}

struct Item {
    1: i64 id
    2: string name
    3: list<string> tags
}

service Testing {
    void ping(),
    string echo(1: string text),
    list<Item> items(1: i32 count),
    map<string, string> headers(),
    string block(1: string name),
    void refuse(1: string why) throws (1: Refused refused),
    void fail(),
    void fail_downstream(),
    i32 bad_result(),
    oneway void note(1: string text),
}
