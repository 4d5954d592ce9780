// Every type that Thrift has, for clients of other languages.
namespace py everything
namespace cpp everything

enum Colour { RED = 1, GREEN = 2, BLUE = 5 }

typedef i64 Stamp

union Choice {
    1: i32 number
    2: string text
}

struct Inner {
    1: required i32 number
    2: optional string note
}

struct Everything {
    1: bool truth
    2: i8 tiny
    3: i16 small
    4: i32 medium
    5: i64 large
    6: double real
    7: string text
    8: binary data
    9: list<string> texts
    10: set<i32> numbers
    11: map<string, i64> sizes
    12: Inner inner
    13: Colour colour
    14: Choice choice
    15: list<list<i32>> table
    16: map<i32, list<Inner>> groups
    17: Stamp stamp
    18: optional string unset
    19: list<bool> truths
    20: list<double> reals
    21: map<string, map<string, bool>> flags
    300: i32 far  // further than a compact field's delta goes
}

exception Refused {
    1: string why
    2: i32 code
}

service Base {
    void ping()
}

service Languages extends Base {
    Everything mirror(1: Everything value)
    list<Everything> many(1: i32 count)
    i64 add(1: i64 a, 2: i64 b)
    void refuse(1: string why) throws (1: Refused refused)
    void fail()
    oneway void note(1: string text)
    i32 noted()
}
