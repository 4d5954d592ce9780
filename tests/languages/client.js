// node client.js FOLDER PORT DIALECT: calls every method; ends with 0 if all that comes back is what it should be.
// FOLDER holds what the Thrift compiler wrote for Node.
const assert = require('assert');
const thrift = require('thrift');
const [, , folder, port, dialect] = process.argv;
const Languages = require(folder + '/Languages');
const types = require(folder + '/everything_types');

const TRANSPORTS = { unframed: thrift.TBufferedTransport, framed: thrift.TFramedTransport };
const PROTOCOLS = { binary: thrift.TBinaryProtocol, compact: thrift.TCompactProtocol };
const [framing, encoding] = dialect.split(' ');

const connection = thrift.createConnection('127.0.0.1', Number(port), {
  transport: TRANSPORTS[framing],
  protocol: PROTOCOLS[encoding],
});
connection.on('error', fail);
setTimeout(() => fail(new Error('no answer in 20 seconds')), 20000).unref();
const client = thrift.createClient(Languages, connection);

function fail(error) {
  console.error(error);
  process.exit(1);
}

// Node's library reads every boolean in a container of a compact message as false (its readBool takes a number
// for an object): none are sent there.
const truths = encoding === 'compact' ? [] : [true, false, true];
const flags = encoding === 'compact' ? { outer: {} } : { outer: { yes: true, no: false } };

function filled() {
  return new types.Everything({
    truth: true,
    tiny: -128,
    small: -32768,
    medium: -2147483648,
    large: 9007199254740991,
    real: -0.1,
    text: 'smörgås 🍞',
    data: Buffer.from([0, 255, 128, 1]),
    texts: ['', 'a', 'x'.repeat(100000)],
    numbers: [-1, 0, 1, 1 << 30],
    sizes: { none: 0, some: 4294967296 },
    inner: new types.Inner({ number: 7, note: 'inside' }),
    colour: types.Colour.BLUE,
    choice: new types.Choice({ text: 'chosen' }),
    table: [[], [1], [2, 3]],
    groups: { 1: [new types.Inner({ number: -7 }), new types.Inner({ number: 8, note: 'b' })], 2: [] },
    stamp: 1700000000000,
    truths,
    reals: [0, 1.5, Infinity],
    flags,
    far: 300,
  });
}

// Numbers of 64 bits come as objects; sets as lists, in any order.
function plain(value) {
  if (Buffer.isBuffer(value)) return [...value];
  if (value instanceof thrift.Int64) return value.toNumber();
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== null).map(([k, v]) => [k, plain(v)]));
  }
  return value;
}

function comparable(value) {
  const all = plain(value);
  all.numbers.sort((a, b) => a - b);
  return all;
}

async function main() {
  await client.ping();
  for (let turn = 0; turn < 3; turn++) {
    assert.deepStrictEqual(comparable(await client.mirror(filled())), comparable(filled()));
    const many = await client.many(50);
    assert.strictEqual(many.length, 50);
    assert.strictEqual(many[49].medium, 49);
    assert.strictEqual(many[49].text, 'number 49');
    assert.strictEqual(plain(await client.add(4294967296, 1)), 4294967297);
    await assert.rejects(client.refuse('declared'), (error) => error.why === 'declared' && error.code === -5);
    await assert.rejects(client.fail(), (error) => error.type === 6);
    client.note('one way');
    const sums = await Promise.all([1, 2, 3].map((n) => client.add(n, n))); // sent without waiting
    assert.deepStrictEqual(sums.map(plain), [2, 4, 6]);
  }
  assert.ok((await client.noted()) >= 3);
  connection.end();
}

main().catch(fail);
