// client PORT DIALECT: calls every method; ends with 0 if all that comes back is what it should be.
#include <cstdlib>
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/THeaderTransport.h>
#include <thrift/transport/TSocket.h>

#include "Languages.h"

using namespace apache::thrift;
using namespace apache::thrift::protocol;
using namespace apache::thrift::transport;
using namespace everything;

static void check(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("not so: " + what);
}

static std::shared_ptr<TProtocol> protocol_of(const std::string& dialect, std::shared_ptr<TTransport> socket) {
  if (dialect == "unframed binary") return std::make_shared<TBinaryProtocol>(std::make_shared<TBufferedTransport>(socket));
  if (dialect == "unframed compact") return std::make_shared<TCompactProtocol>(std::make_shared<TBufferedTransport>(socket));
  if (dialect == "framed binary") return std::make_shared<TBinaryProtocol>(std::make_shared<TFramedTransport>(socket));
  if (dialect == "framed compact") return std::make_shared<TCompactProtocol>(std::make_shared<TFramedTransport>(socket));
  auto header = std::make_shared<THeaderProtocol>(
      socket, socket, dialect == "header compact" ? T_COMPACT_PROTOCOL : T_BINARY_PROTOCOL);
  auto transport = std::dynamic_pointer_cast<THeaderTransport>(header->getTransport());
  if (dialect == "header zlib") transport->setTransform(THeaderTransport::ZLIB_TRANSFORM);
  return header;
}

static Everything filled() {
  Everything value;
  value.truth = true;
  value.tiny = -128;
  value.small = -32768;
  value.medium = std::numeric_limits<int32_t>::min();
  value.large = std::numeric_limits<int64_t>::min();
  value.real = -0.1;
  value.text = "smörgås \xf0\x9f\x8d\x9e";
  value.data = std::string("\0\xff\x80 bytes", 9);
  value.texts = {"", "a", std::string(100000, 'x')};
  value.numbers = {-1, 0, 1, 1 << 30};
  value.sizes = {{"none", 0}, {"all", std::numeric_limits<int64_t>::max()}};
  value.inner.number = 7;
  value.inner.__set_note("inside");
  value.colour = Colour::BLUE;
  value.choice.__set_text("chosen");
  value.table = {{}, {1}, {2, 3}};
  Inner bare;
  bare.number = -7;
  value.groups = {{1, {bare, value.inner}}, {2, {}}};
  value.stamp = 1700000000000;
  value.truths = {true, false, true};
  value.reals = {0.0, 1.5, std::numeric_limits<double>::infinity()};
  value.flags = {{"outer", {{"yes", true}, {"no", false}}}};
  value.far = 300;
  return value;
}

int main(int, char** argv) {
  auto socket = std::make_shared<TSocket>("127.0.0.1", std::atoi(argv[1]));
  socket->setRecvTimeout(20000);
  socket->open();
  LanguagesClient client(protocol_of(argv[2], socket));
  client.ping();
  for (int turn = 0; turn < 3; ++turn) {
    Everything back, sent = filled();
    client.mirror(back, sent);
    check(sent == back, "what comes back equals what was sent");
    check(!back.__isset.unset, "what was not set is not set");
    std::vector<Everything> many;
    client.many(many, 50);
    check(many.size() == 50 && many[49].medium == 49 && many[49].text == "number 49", "many");
    check(client.add(std::numeric_limits<int64_t>::max() - 1, 1) == std::numeric_limits<int64_t>::max(), "add");
    try {
      client.refuse("declared");
      check(false, "refuse() raises");
    } catch (const Refused& refused) {
      check(refused.why == "declared" && refused.code == -5, "what it raises");
    }
    try {
      client.fail();
      check(false, "fail() raises");
    } catch (const TApplicationException& error) {
      check(error.getType() == TApplicationException::INTERNAL_ERROR, "an internal error");
    }
    client.note("one way");
  }
  check(client.noted() >= 3, "what went one way has arrived");
  socket->close();
  return 0;
}
